"""Modules with targets for checks, written to disk as an author has them."""

CHECKED = '''
import torch
from torch import nn
import explorer

MAX_SIZE = 40


class Model(nn.Module):
    """Its branch stands in line 17."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(3, 3)

    def forward(self, x):
        if x.shape[0] == 4:
            return self.linear(x) * 2
        return self.linear(x) + 1


class Right(Model):
    def forward(self, x):
        y = self.linear(x)
        return torch.cond(x.shape[0] == 4, lambda: y * 2, lambda: y + 1, ())


class Wrong(Model):
    def forward(self, x):
        return self.linear(x) + 1


class NoGraph(Model):
    def forward(self, x):
        return self.linear(x) if x.sum() > 0 else x


class Scaled(Model):
    def forward(self, x, k):
        return self.linear(x) * k


class Plain(Model):
    def forward(self, x):
        return self.linear(x) * 2


def target(cls, rows=6, *rest, **settings):
    torch.manual_seed(rows)
    config = {"backend": "eager", "max_size": MAX_SIZE} | settings
    return explorer.CompileTarget(
        name=settings.pop("name", cls.__name__),
        model=cls().eval(),
        example_inputs=(torch.ones(rows, 3), *rest),
        dynamic_arg_dims={"x": {0: "n"}},
        config=explorer.CompilationConfig(**config),
    )


def unbacked():
    shapes = explorer.DynamicShapesConfig(type=explorer.DynamicShapesType.UNBACKED)
    return target(Model, dynamic_shapes=shapes)


def branch(): return target(Model)
def fixed(): return target(Model, 4)
def right(): return target(Right)
def wrong(): return target(Wrong, 5)
def no_graph(): return target(NoGraph)
def scaled(): return target(Scaled, 6, 5)
def plain(): return target(Plain)
def variants(): return target(Model, guard_policy=explorer.GuardPolicy.VARIANTS)
def few_variants():
    return target(Model, guard_policy=explorer.GuardPolicy.VARIANTS, variants_limit=1)


def dropping(): return target(Model, guard_policy=explorer.GuardPolicy.DROP)
'''
"""A model with a branch on 4 rows, and what becomes of it; the functions at the end are targets."""
