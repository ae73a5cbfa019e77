"""Time our tokenizer beside fastai's, in one process and in turn; and two processes of ours against one.

Records nbs/results/tokenize_speed.json: `cold` and `warm`, times faster than fastai (median of five rounds);
`two_processes`, times faster than one of ours.
A corpus that is not at hand is left out.
"""

from nlpdeep.benchmarks import bench_tokenize
from nlpdeep.corpora import imdb, movie_snippets, speeches, wikitext2
from nlpdeep.fast_words import WordTokenizer
from nlpdeep.records import bench
from nlpdeep.runs import Plan, Row, run_script
from nlpdeep.tokenization import tokenize_texts


def films():
    return list(movie_snippets().groupby('film').text.agg(' '.join))


CORPORA = dict(
    imdb=lambda: list(imdb(download=False).query('part == "train"').sample(5000, random_state=0).text),
    wikitext2=lambda: list(wikitext2(download=False).query('part == "train"').text)[:300],
    films=films,
    speeches=lambda: list(speeches().text)[-40:],
    snippets=lambda: list(movie_snippets().text)[:8000],
)


def two_processes(texts):
    "Two processes against one, each beginning with an empty memory."

    def run(n):
        return list(map(list, tokenize_texts(texts, n_workers=n, tok=WordTokenizer())))

    return bench('two', lambda: run(2), lambda: run(0), rounds=3)


PLAN = Plan(
    makes='tokenize_speed',
    chapter='02c_tokenizer',
    minutes=7,
    data='texts of chapter 01',
    configs=[dict(corpus=name) for name in CORPORA],
)


def run(seed, corpus):
    texts = CORPORA[corpus]()
    cold, warm = bench_tokenize(rounds=5, texts=texts)
    m = dict(
        cold=cold['ratio'],
        cold_low=cold['low'],
        cold_high=cold['high'],
        warm=warm['ratio'],
        warm_low=warm['low'],
        warm_high=warm['high'],
        identical=cold['identical'] and warm['identical'],
    )
    if corpus == 'imdb':
        two = two_processes(list(imdb(download=False).query('part == "train"').text))
        m.update(two_processes=two['ratio'], identical=m['identical'] and two['identical'])
    return [Row(m, dict(texts=len(texts), words=sum(len(o.split()) for o in texts) // len(texts)))]


if __name__ == '__main__':
    run_script(__file__)
