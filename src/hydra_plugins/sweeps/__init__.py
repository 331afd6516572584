"""The plugins that Hydra finds here; `hydra_plugins` itself is a namespace package and must stay one."""
