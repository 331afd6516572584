"""What the processes do that want one folder at the same moment; apart, so that they import little."""

from sweeps.record.lock import LockedError, owned


def meet_at(barrier):
    """In a process that is going to contend: where all of them wait for each other."""
    global together
    together = barrier


def contend(folder, rounds):
    """Try to own the folder of each round at the same moment as the others: in which rounds this process did."""
    owns = []
    try:
        for number in range(rounds):
            together.wait()
            try:
                with owned(folder / str(number)):
                    owns.append(True)
                    together.wait()  # nobody lets go before everybody has tried
            except LockedError:
                owns.append(False)
                together.wait()
    except Exception:
        together.abort()  # the others wait for nobody
        raise
    return owns
