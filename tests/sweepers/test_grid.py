"""A grid as it is typed, under Hydra's own launcher."""
def test_x(application, tmp_path):
    done = application("-m", "lr=0.1,0.2", "sweep.name=study", "hydra/launcher=basic")
    print(done.text)
    assert 0
