"""Hands settings.ini to the build, and puts it, the recorded runs and the notebooks into the package, so that
an installed wheel has them.
"""

import os
from configparser import ConfigParser
from pathlib import Path
from shutil import copyfile
from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

here = Path(__file__).parent
cfg = ConfigParser(interpolation=None)
cfg.read(here / 'settings.ini', encoding='utf-8')
pkg = cfg['package']


def reqs(name):
    "The requirement list `name`, without its comments."
    return [
        o.strip()
        for o in cfg['requirements'][name].splitlines()
        if o.strip() and not o.strip().startswith('#')
    ]


class BuildPy(build_py):
    "Copies what lives outside the package, and the code reads at run time, into the built package."

    def run(self):
        super().run()
        if getattr(self, 'editable_mode', False):
            return
        out = Path(self.build_lib) / 'nlpdeep'
        copyfile(here / 'settings.ini', out / 'settings.ini')
        (out / 'results').mkdir(exist_ok=True)
        for f in sorted((here / 'nbs/results').glob('*.json')):
            copyfile(f, out / 'results' / f.name)
        for f in sorted((here / 'nbs').glob('**/[0-9]*.ipynb')):
            to = out / f.relative_to(here)
            if not any(o.startswith('.') for o in f.relative_to(here).parts):
                to.parent.mkdir(parents=True, exist_ok=True)
                copyfile(f, to)


# A released wheel takes any torch that is there; pip, choosing one for a checkout, is kept to a small build.
released = os.environ.get('NLPDEEP_RELEASE') == '1'
repo = pkg['repository']
setup(
    version=pkg['version'],
    python_requires=f'>={pkg["min_python"]}',
    install_requires=reqs('install') + ([] if released else reqs('checkout')),
    extras_require={k: reqs(k) for k in cfg['requirements'] if k not in ('install', 'checkout')},
    project_urls={
        'Homepage': repo,
        'Repository': repo,
        'Issues': f'{repo}/issues',
        'Changelog': f'{repo}/blob/{pkg["branch"]}/CHANGELOG.md',
    },
    packages=find_packages(include=['nlpdeep', 'nlpdeep.*']),
    package_data={'nlpdeep': ['py.typed', '*.j2', 'pretrained/*.md', 'pretrained/*/*']},
    cmdclass={'build_py': BuildPy},
)
