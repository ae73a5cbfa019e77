"""What a schedule is worth: LMModel7 on Human Numbers, three peak rates, five seeds, and
constant, slanted or one-cycle rates; the last with its own momentum and with that of the others."""

from fastai.basics import CrossEntropyLossFlat, accuracy
from fastai.callback.schedule import ParamScheduler
from fastai.text.learner import TextLearner

from nlpdeep.corpora import human_number_tokens
from nlpdeep.course import number_data, sequence_dls
from nlpdeep.regularization import LMModel7
from nlpdeep.runs import Plan, run_script

PLAN = Plan(
    makes='schedules',
    chapter='08d_schedules',
    minutes=45,
    data='human_numbers, last fifth',
    configs=[
        dict(schedule=schedule, rate=rate, epochs=6)
        for rate in (0.003, 0.01, 0.03)
        for schedule in ('constant', 'one cycle', 'one cycle, momentum 0.9', 'slanted triangle')
    ],
    seeds=range(5),
)


def slanted(lr, cut=0.1, ratio=32):
    "ULMFiT's slanted triangle."
    return lambda done: lr * (1 + min(done / cut, (1 - done) / (1 - cut)) * (ratio - 1)) / ratio


def fit(learn, schedule, lr, epochs):
    if schedule == 'constant':
        learn.fit(epochs, lr, wd=0.1)
    elif schedule == 'one cycle':
        learn.fit_one_cycle(epochs, lr, wd=0.1)
    elif schedule == 'one cycle, momentum 0.9':  # as the other two
        learn.fit_one_cycle(epochs, lr, wd=0.1, moms=(0.9, 0.9, 0.9))
    elif schedule == 'slanted triangle':
        learn.fit(epochs, lr, wd=0.1, cbs=ParamScheduler({'lr': slanted(lr)}))


def run(seed, schedule, rate, epochs):
    learn = TextLearner(
        sequence_dls(number_data(human_number_tokens()).ids),
        LMModel7(30, 64, 2, 0.4),
        loss_func=CrossEntropyLossFlat(),
        metrics=accuracy,
    )
    with learn.no_bar(), learn.no_logging():
        fit(learn, schedule, rate, epochs)
    _, loss, acc = learn.recorder.values[-1]
    return dict(accuracy=acc, valid_loss=loss)


if __name__ == '__main__':
    run_script(__file__)
