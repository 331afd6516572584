"""scikit-learn: no steps, no torch, and a line in the config for sweeps. The returned value is the objective.

python examples/sklearn/train.py -m max_depth=2,4,8 n_estimators=10,50 sweep.name=sklearn sweep.repeats=3
"""

import hydra
from omegaconf import DictConfig
from sklearn.datasets import load_digits
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import cross_val_score


@hydra.main(version_base="1.3", config_path="conf", config_name="config")
def train(cfg: DictConfig) -> float:
    images, labels = load_digits(return_X_y=True)
    model = RandomForestClassifier(cfg.n_estimators, max_depth=cfg.max_depth, random_state=cfg.seed)
    return cross_val_score(model, images, labels, cv=3).mean()


if __name__ == "__main__":
    train()
