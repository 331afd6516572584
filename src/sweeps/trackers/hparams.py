"""A run's row in TensorBoard's HParams table, written into the run's own event file.

tensorboardX's `add_hparams` opens a second writer in a sub-run that it names by the time. No `experiment` summary is
written either: TensorBoard would take the columns of the first one it meets for all runs, and without any it finds the
columns, their types and the metrics of every run itself.
"""

import time
from collections.abc import Mapping

from tensorboardX import SummaryWriter
from tensorboardX.proto.api_pb2 import Status as SessionStatus
from tensorboardX.proto.plugin_hparams_pb2 import HParamsPluginData, SessionEndInfo, SessionStartInfo
from tensorboardX.proto.summary_pb2 import Summary, SummaryMetadata

from sweeps.record.records import Status
from sweeps.trackers.columns import Value

START_TAG = "_hparams_/session_start_info"
END_TAG = "_hparams_/session_end_info"


def add_start(writer: SummaryWriter, columns: Mapping[str, Value]) -> None:
    """Begin the row."""
    start = SessionStartInfo(start_time_secs=time.time())
    for key, value in columns.items():
        if isinstance(value, bool):
            start.hparams[key].bool_value = value
        elif isinstance(value, str):
            start.hparams[key].string_value = value
        else:
            start.hparams[key].number_value = float(value)
    _add(writer, START_TAG, HParamsPluginData(version=0, session_start_info=start))


def add_end(writer: SummaryWriter, status: Status) -> None:
    """End the row. TensorBoard keeps the first end that it reads, so a run that will go on must not have one."""
    text = "STATUS_SUCCESS" if status is Status.COMPLETED else "STATUS_FAILURE"
    end = SessionEndInfo(status=SessionStatus.Value(text), end_time_secs=time.time())
    _add(writer, END_TAG, HParamsPluginData(version=0, session_end_info=end))


def _add(writer: SummaryWriter, tag: str, content: HParamsPluginData) -> None:
    plugin = SummaryMetadata.PluginData(plugin_name="hparams", content=content.SerializeToString())
    metadata = SummaryMetadata(plugin_data=plugin)
    writer.file_writer.add_summary(Summary(value=[Summary.Value(tag=tag, metadata=metadata)]), 0)
