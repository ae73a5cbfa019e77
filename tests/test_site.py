"""The site, built and opened in a browser: no broken link, nothing wider than the page on a phone or a
desktop, no request to another host, a search that finds. Skipped where the `docs` extra or chromium is
absent.
"""

import functools
import html
import importlib.util
import json
import re
import shutil
import subprocess
import sys
import tempfile
import threading
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote

import notebooks as nbs
import pytest

CHROMIUM = next(
    filter(None, map(shutil.which, ('chromium', 'chromium-browser', 'google-chrome', 'chrome'))), None
)
MISSING = [o for o in ('sphinx', 'myst_nb', 'furo', 'latex2mathml') if importlib.util.find_spec(o) is None]
# what a page loads, by tag and attribute
LOADS = {
    'script': 'src',
    'img': 'src',
    'link': 'href',
    'iframe': 'src',
    'source': 'src',
    'video': 'src',
    'object': 'data',
}


class Page(HTMLParser):
    "What a page links to, what it loads, and the places in it that links may point to."

    def __init__(self, text):
        super().__init__()
        self.links, self.loads, self.ids = [], [], set()
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        a = dict(attrs)
        self.ids |= {a[k] for k in ('id', 'name') if a.get(k)}
        if tag == 'a' and a.get('href'):
            self.links.append(a['href'])
        if LOADS.get(tag) in a and not (
            tag == 'link' and a.get('rel') not in ('stylesheet', 'icon', 'preload')
        ):
            self.loads.append(a[LOADS[tag]])
        if a.get('srcdoc'):
            self.loads += Page(a['srcdoc']).loads


@pytest.fixture(scope='module')
def site(tmp_path_factory):
    if MISSING:
        pytest.skip(f'the site needs {", ".join(MISSING)}: pip install "nlpdeep[docs]"')
    out = tmp_path_factory.mktemp('site') / 'site'
    r = subprocess.run(
        [sys.executable, 'docs/build.py', str(out)], cwd=nbs.ROOT, capture_output=True, text=True
    )
    assert r.returncode == 0, r.stdout[-3000:] + r.stderr[-3000:]
    return out


@pytest.fixture(scope='module')
def pages(site):
    return {f: Page(f.read_text(encoding='utf-8')) for f in sorted(site.rglob('*.html'))}


def test_everything_is_there(site):
    "Each notebook with outputs and links; each module; results, questions, glossary, model card, changelog."
    for p in nbs.all_notebooks():
        name = p.relative_to(nbs.NBS)
        text = (site / 'nbs' / name.with_suffix('.html')).read_text(encoding='utf-8')
        assert nbs.colab(name.as_posix()) in text and f'notebooks/{name.as_posix()}" download' in text
        assert (site / 'notebooks' / name).read_bytes() == p.read_bytes()
        pictures = sum(
            'image/png' in o.get('data', {}) for c in nbs.read(p)['cells'] for o in c.get('outputs', [])
        )
        assert text.count('<img') >= pictures
        assert 'rel="next"' in text or 'rel="prev"' in text
    for f in (nbs.ROOT / 'nlpdeep').glob('[a-z]*.py'):
        assert (site / 'api' / f'{f.stem}.html').is_file()
    loader = (site / 'api' / 'lm_dataloader.html').read_text(encoding='utf-8')
    assert 'LMDataLoader' in loader and 'bs' in loader
    for f in (nbs.NBS / 'results').glob('*.json'):
        assert f.stem in (site / 'results.html').read_text(encoding='utf-8')
    text = (site / 'questions.html').read_text(encoding='utf-8')
    chapters = [p for p in nbs.all_notebooks() if nbs.kind(p) == 'chapter']
    assert text.count('<summary>') == sum(len(nbs.questions(p)) for p in chapters)
    for name in ('glossary', 'model-card', 'changelog'):
        assert (site / f'{name}.html').is_file()


def test_no_broken_link(site, pages):
    "Every link within the site leads to a page, and to a place that is in it."
    broken = []
    for f, page in pages.items():
        for link in page.links:
            if re.match(r'[a-z]+:', link):
                continue
            path, _, anchor = unquote(html.unescape(link)).partition('#')
            to = (f.parent / path.split('?')[0]).resolve() if path else f
            if to.is_dir():
                to /= 'index.html'
            if not to.is_file() or (anchor and to in pages and anchor not in pages[to].ids):
                broken.append(f'{f.relative_to(site)}: {link}')
    assert not broken, '\n'.join(broken)


def test_nothing_from_another_host(site, pages):
    "No page, style sheet or font loads anything that is not in the site."
    for f, page in pages.items():
        assert not [o for o in page.loads if re.match(r'(?:[a-z]+:)?//', o)], f
        inline = f.read_text(encoding='utf-8')
        assert not re.search(r'<style[^>]*>[^<]*(?:@import|url\((?:https?:)?//)', inline), f
    for f in site.rglob('*.css'):
        assert not re.search(r'url\(["\']?(?:https?:)?//|@import', f.read_text(encoding='utf-8')), f


def test_readable_without_javascript(site):
    "Text, code, outputs and answers of a chapter are in the page itself."
    text = html.unescape((site / 'nbs/04_lm_dataloader.html').read_text(encoding='utf-8'))
    text = re.sub(r'<script.*?</script>|<[^>]+>', '', text, flags=re.S)
    for piece in (
        'One text, six rows',
        'stream = torch.cat(docs)',
        '90 tokens: xxbos',
        'Check yourself',
        'row below it',
    ):
        assert piece in text


LOOK = """<!doctype html><meta charset="utf-8"><body><script>
const pages = PAGES, widths = [390, 1280], seen = [];
const wait = ms => new Promise(f => setTimeout(f, ms));
function open(page, width, style) {
  return new Promise(done => {
    const frame = document.createElement('iframe');
    frame.style.cssText = `width:${width}px;height:900px;border:0`;
    frame.onload = () => done(frame);
    frame.src = page;
    document.body.append(frame);
  });
}
async function look(page, width) {
  const frame = await open(page, width), doc = frame.contentDocument, root = doc.scrollingElement;
  const wide = [];
  const scrolls = o => o && o.tagName != 'ARTICLE' &&
    (/auto|scroll/.test(getComputedStyle(o).overflowX) || scrolls(o.parentElement));
  for (const o of doc.querySelectorAll('article *'))  // also what a hidden overflow would cut off
    if (o.getBoundingClientRect().right > width + 1 && !scrolls(o) && !o.closest('svg') && wide.length < 3)
      wide.push(o.tagName + '.' + o.className + ' ' + o.textContent.slice(0, 60));
  // printed lines wrap, but for tables and for what brings a style of its own and scrolls
  for (const o of doc.querySelectorAll('article .cell_output pre'))
    if (!o.closest('.tag_aligned') && o.style.overflowX !== 'auto' && o.scrollWidth > o.clientWidth + 1)
      if (wide.length < 3) wide.push('printed ' + o.textContent.slice(0, 60));
  const loads = frame.contentWindow.performance.getEntriesByType('resource').map(o => o.name);
  seen.push({page, width, scroll: root.scrollWidth, wide, loads});
  frame.remove();
}
(async () => {
  for (const width of widths)
    for (let i = 0; i < pages.length; i += 4)
      await Promise.all(pages.slice(i, i + 4).map(p => look(p, width)));
  const frame = await open('search.html?q=perplexity', 1280);
  let found = [], before = -1;
  for (let i = 0; i < 100 && (!found.length || found.length > before); i++) {
    before = found.length;
    await wait(500);
    found = [...frame.contentDocument.querySelectorAll('ul.search li a')].map(o => o.getAttribute('href'));
  }
  const body = getComputedStyle(frame.contentDocument.body);
  await fetch('/seen', {method: 'POST', body: JSON.stringify(
    {seen, found, background: body.backgroundColor})});
})();
</script>"""


def browse(site, names, dark=False):
    "Open the pages `names` of the site in a browser at both widths, and search; what was seen."
    got, done = {}, threading.Event()

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, *a):
            pass

        def do_GET(self):
            if self.path != '/look':
                return super().do_GET()
            body = LOOK.replace('PAGES', json.dumps(names)).encode()
            self.send_response(200)
            self.send_header('Content-Type', 'text/html')
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self):
            got.update(json.loads(self.rfile.read(int(self.headers['Content-Length']))))
            self.send_response(204)
            self.end_headers()
            done.set()

    server = ThreadingHTTPServer(('127.0.0.1', 0), functools.partial(Handler, directory=str(site)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    home = f'http://127.0.0.1:{server.server_port}/'
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        browser = subprocess.Popen(
            [
                CHROMIUM,
                *'--headless --no-sandbox --disable-gpu --hide-scrollbars --no-first-run'.split(),
                *(['--blink-settings=preferredColorScheme=0'] if dark else []),
                f'--user-data-dir={profile}',
                '--window-size=1400,1000',
                '--remote-debugging-port=0',  # stays open until it is closed
                home + 'look',
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            assert done.wait(600), 'the browser did not come to an end'
        finally:
            browser.kill()
            browser.wait()
            server.shutdown()
    return got, home


def test_in_a_browser(site, pages):
    "On a phone (390 px) and a desktop (1,280 px): nothing sticks out or is fetched elsewhere, search finds."
    if CHROMIUM is None:
        pytest.skip('there is no chromium here to open the site in')
    names = [f.relative_to(site).as_posix() for f in pages]
    got, home = browse(site, names)
    assert len(got['seen']) == 2 * len(names)
    wide = [o for o in got['seen'] if o['scroll'] > o['width'] or o['wide']]
    assert not wide, '\n'.join(map(str, wide))
    loads = {l for o in got['seen'] for l in o['loads']}
    assert loads and all(l.startswith((home, 'data:')) for l in loads)
    assert len(got['found']) > 5 and any('nbs/' in o for o in got['found'])
    # the reader's dark setting changes the page
    assert browse(site, names[:1], dark=True)[0]['background'] != got['background']
