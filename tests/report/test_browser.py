"""The page in a real browser: it draws, sorts and filters, without an error and without a request."""

import json
import shutil
import time
from urllib.parse import unquote

import pytest

from sweeps.record.records import Failure, Status
from sweeps.vision.confusion import PNG, Confusion, Pair, write

from .conftest import FULL_NAME, TEST_ACC, write_run, write_sweep

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
webdriver = pytest.importorskip("selenium.webdriver", reason="needs selenium, a part of the dev extra")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="needs Chromium: apt-get install chromium chromium-driver"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # selenium's
]
QUIET = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--window-size=1300,1000",
)  # fmt: skip


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """The page of a sweep in which everything has happened that can, evil names included."""
    from sweeps.report.cli import main

    folder = write_sweep(tmp_path_factory.mktemp("browser") / "lr_study")
    config = {"model": {"_target_": f"mylab.{FULL_NAME}"}}
    write_run(folder, name="evil", status=Status.FAILED, values=(), objective=TEST_ACC, config=config,
              overrides=[f"model={FULL_NAME}"], error=Failure("error", FULL_NAME))  # fmt: skip
    best = folder / "model=alexnet,optim.lr=0.01,seed=2"
    write(best, Confusion("test", 2, ["cat", FULL_NAME], [[5, 1], [3, 7]], [Pair(1, 0, 3, [PNG])]))
    assert main([str(folder), "--no-figures"]) == 0
    return folder / "report.html"


@pytest.fixture(scope="module")
def chromium(tmp_path_factory):
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for argument in (*QUIET, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    browser = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    yield browser
    browser.quit()


@pytest.fixture
def opened(chromium, page):
    """The browser with the page freshly open; afterwards nothing was complained of and nothing was asked for."""
    chromium.get("about:blank")
    chromium.get_log("browser")
    chromium.get_log("performance")
    chromium.get(page.as_uri())
    yield chromium
    assert chromium.get_log("browser") == []
    events = [json.loads(entry["message"])["message"] for entry in chromium.get_log("performance")]
    asked = {event["params"]["request"]["url"] for event in events if event["method"] == "Network.requestWillBeSent"}
    asked = {url.partition("#")[0] for url in asked if not url.startswith("data:")}
    assert asked <= {page.as_uri()}


def ask(browser, expression):
    return browser.execute_script(f"return {expression}")


def column(browser, number):
    return ask(browser, f"[...document.querySelectorAll('#runs tbody tr')].map(r => r.cells[{number}].textContent)")


def click(browser, selector):
    browser.execute_script("document.querySelector(arguments[0]).click()", selector)


def test_charts_are_drawn(opened):
    drawn = ask(opened, "[...document.querySelectorAll('.chart svg')].map(s => s.getBoundingClientRect().height)")
    assert len(drawn) == 9
    assert min(drawn) > 50
    assert ask(opened, "document.querySelectorAll('#chart-by_optim_lr svg a').length") >= 6


def test_titles_of_axes_and_legends_clear_the_labels_and_the_edge(opened):
    overlaps = ask(
        opened,
        "[...document.querySelectorAll('.chart .role-axis')].filter(axis => {"
        "  const title = axis.querySelector('.role-axis-title text');"
        "  if (!title) return false;"
        "  const a = title.getBoundingClientRect();"
        "  return [...axis.querySelectorAll('.role-axis-label text')].some(label => {"
        "    const b = label.getBoundingClientRect();"
        "    return label.getAttribute('opacity') !== '0' && a.left < b.right && b.left < a.right"
        "      && a.top < b.bottom && b.top < a.bottom; }); }).length",
    )
    assert overlaps == 0
    cut = ask(
        opened,
        "[...document.querySelectorAll('.chart .role-legend-title text')].filter(title =>"
        "  title.getBoundingClientRect().right > title.ownerSVGElement.getBoundingClientRect().right + 1).length",
    )
    assert cut == 0


def test_the_table_fits_a_window_of_1280_pixels(chromium, tmp_path):
    from sweeps.report.cli import main

    for place in range(40):
        settings = {"model": ("nin", "alexnet")[place % 2], "optim__lr": (0.03, 0.2)[place // 20], "seed": place}
        write_run(tmp_path / "sweep", facts={"parameters": 61_706 + place, "solver": "sgd"}, **settings)
    assert main([str(tmp_path / "sweep"), "--no-figures"]) == 0
    size = {"width": 1280 - 2 * 15, "height": 900, "deviceScaleFactor": 1, "mobile": False}  # less two scroll bars
    chromium.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    chromium.get((tmp_path / "sweep" / "report.html").as_uri())
    over = "(e => e.scrollWidth - e.clientWidth)(document.querySelector('#table .scroll'))"
    assert ask(chromium, over) <= 0
    chromium.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_the_table_sorts_either_way_with_blanks_last(opened):
    heads = ask(opened, "[...document.querySelectorAll('#runs thead th')].map(h => h.textContent)")
    place = heads.index("lr")
    click(opened, f"#runs thead th:nth-child({place + 1}) button")
    up = [cell for cell in column(opened, place) if cell != "-"]
    assert [float(cell) for cell in up] == sorted(float(cell) for cell in up)
    click(opened, f"#runs thead th:nth-child({place + 1}) button")
    down = column(opened, place)
    assert [float(cell) for cell in down if cell != "-"] == sorted(map(float, up), reverse=True)
    assert "-" not in down[: len(up)]
    assert ask(opened, f"document.querySelectorAll('#runs th')[{place}].getAttribute('aria-sort')") == "descending"
    best = heads.index("test_acc")
    click(opened, f"#runs thead th:nth-child({best + 1}) button")
    assert column(opened, best)[0] == "0.9300"  # the best first


def test_the_table_filters_by_words_category_and_status(opened):
    shown = "[...document.querySelectorAll('#runs tbody tr')].filter(r => !r.hidden).length"
    opened.execute_script(
        "const f = document.getElementById('filter'); f.value = 'alexnet 0.01'; f.dispatchEvent(new Event('input'))"
    )
    assert ask(opened, shown) == 3
    assert ask(opened, "document.getElementById('shown').textContent") == "3 of 12 runs"
    opened.execute_script(
        "document.getElementById('filter').value = '';"
        "const s = document.querySelector('[data-filter=status]'); s.value = 'failed';"
        "s.dispatchEvent(new Event('change'))"
    )
    assert ask(opened, shown) == 2


def test_a_point_of_a_chart_leads_to_the_run_its_folder_and_its_repeat_line(opened, page):
    point = "document.querySelector('#chart-by_optim_lr svg a')"
    opened.execute_script(f"{point}.dispatchEvent(new MouseEvent('click', {{bubbles: true, cancelable: true}}))")
    assert ask(opened, "document.getElementById('details').open")
    line = ask(opened, "document.getElementById('repeat-line').textContent")
    assert line.startswith("python -m sweeps model=")
    folder = ask(opened, "document.querySelector('#details-body a').href")
    name = ask(opened, "document.getElementById('details-title').textContent")
    assert unquote(folder) == f"file://{page.parent / name}/"
    assert ask(opened, "document.querySelectorAll('.curves svg path').length") == 2
    click(opened, "#details .close")
    assert not ask(opened, "document.getElementById('details').open")


def test_a_link_to_a_run_opens_it(opened, page):
    opened.get(page.as_uri() + "#run-1")
    opened.refresh()
    assert ask(opened, "document.getElementById('details').open")
    assert "seed=2" in ask(opened, "document.getElementById('details-title').textContent")


def test_two_runs_are_set_side_by_side(opened):
    opened.execute_script(
        "const s = document.getElementById('right'); s.selectedIndex = 3; s.dispatchEvent(new Event('change'))"
    )
    text = ask(opened, "document.getElementById('difference').textContent")
    assert "seed" in text or "model" in text


def test_what_comes_from_records_is_text(opened):
    assert FULL_NAME in ask(opened, "document.getElementById('problems').textContent")
    assert ask(opened, "document.scripts.length") == 2
    key = ask(opened, "[...document.querySelectorAll('#runs tbody tr')].find(r => r.textContent.includes('evil')).id")
    click(opened, f"#{key} .more")
    assert FULL_NAME in ask(opened, "document.getElementById('details-body').textContent")
    click(opened, "#details .close")


def test_light_and_dark(opened):
    def back():
        return ask(opened, "getComputedStyle(document.body).backgroundColor")

    light = back()
    click(opened, "#theme")
    assert back() != light
    opened.execute_cdp_cmd(
        "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": "dark"}]}
    )
    opened.refresh()
    assert back() == "rgb(20, 23, 27)"
    assert ask(opened, "getComputedStyle(document.querySelector('.chart .role-axis-label text')).fill") == (
        "rgb(228, 231, 235)"
    )
    opened.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def test_a_phone_needs_no_sideways_scrolling(opened):
    size = {"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": True}
    opened.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    opened.refresh()
    time.sleep(0.2)
    assert ask(opened, "document.documentElement.scrollWidth") <= 390
    opened.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_everything_has_a_name_for_those_who_do_not_see(opened):
    nameless = ask(
        opened,
        "[...document.querySelectorAll('button, select, input')].filter(e => !e.textContent.trim() && "
        "!e.getAttribute('aria-label') && !(e.labels && e.labels.length)).length",
    )
    assert nameless == 0
    assert ask(opened, "[...document.images].filter(i => !i.alt).length") == 0
    assert ask(opened, "document.querySelectorAll('svg a:not([tabindex=\"-1\"])').length") == 0
