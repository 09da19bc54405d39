"""Methods, one file each: how training treats rare classes, as objects with settings of their own."""

from balanced_mixup.methods.base import METHODS as METHODS
from balanced_mixup.methods.base import Features as Features
from balanced_mixup.methods.base import Method as Method
from balanced_mixup.methods.base import OptimizerSettings as OptimizerSettings
from balanced_mixup.methods.base import Stage as Stage
from balanced_mixup.methods.base import TrainSet as TrainSet
from balanced_mixup.methods.base import get_method as get_method
from balanced_mixup.methods.base import make_method as make_method
from balanced_mixup.methods.base import methods_with as methods_with
from balanced_mixup.methods.base import register as register

# In the order of `bmixup list methods`.
from balanced_mixup.methods.class_sampling import ClassSampling as ClassSampling  # isort: skip
from balanced_mixup.methods.instance import Instance as Instance  # isort: skip
from balanced_mixup.methods.sqrt_sampling import SqrtSampling as SqrtSampling  # isort: skip
from balanced_mixup.methods.focal import FocalLoss as FocalLoss  # isort: skip
from balanced_mixup.methods.cb_loss import CbLoss as CbLoss  # isort: skip
from balanced_mixup.methods.class_weights import ClassWeights as ClassWeights  # isort: skip
from balanced_mixup.methods.logit_adjusted import LogitAdjustedLoss as LogitAdjustedLoss  # isort: skip
from balanced_mixup.methods.vs import VsLoss as VsLoss  # isort: skip
from balanced_mixup.methods.balanced_bce import BalancedBceLoss as BalancedBceLoss  # isort: skip
from balanced_mixup.methods.seesaw import SeesawLoss as SeesawLoss  # isort: skip
from balanced_mixup.methods.label_aware_smoothing import LabelAwareSmoothingLoss as LabelAwareSmoothingLoss  # isort: skip
from balanced_mixup.methods.ldam import LdamLoss as LdamLoss  # isort: skip
from balanced_mixup.methods.ldam_drw import LdamDrw as LdamDrw  # isort: skip
from balanced_mixup.methods.gcl import Gcl as Gcl  # isort: skip
from balanced_mixup.methods.corn import CornGrades as CornGrades  # isort: skip
from balanced_mixup.methods.coral import CoralGrades as CoralGrades  # isort: skip
from balanced_mixup.methods.mixup import MixUp as MixUp  # isort: skip
from balanced_mixup.methods.balanced_mixup import BalancedMixUp as BalancedMixUp  # isort: skip
from balanced_mixup.methods.progressive import Progressive as Progressive  # isort: skip
from balanced_mixup.methods.cutmix import CutMix as CutMix  # isort: skip
from balanced_mixup.methods.cmo import Cmo as Cmo  # isort: skip
from balanced_mixup.methods.bbn_mix import BbnMix as BbnMix  # isort: skip
from balanced_mixup.methods.remix import Remix as Remix  # isort: skip
from balanced_mixup.methods.unimix import UniMix as UniMix  # isort: skip
from balanced_mixup.methods.linear_probe import LinearProbe as LinearProbe  # isort: skip
from balanced_mixup.methods.crt import Crt as Crt  # isort: skip
from balanced_mixup.methods.lws import Lws as Lws  # isort: skip
from balanced_mixup.methods.tau_norm import TauNorm as TauNorm  # isort: skip
from balanced_mixup.methods.ncm import Ncm as Ncm  # isort: skip
from balanced_mixup.methods.post_hoc_adjustment import PostHocAdjustment as PostHocAdjustment  # isort: skip
from balanced_mixup.methods.mislas import Mislas as Mislas  # isort: skip
from balanced_mixup.methods.weight_balancing import WeightBalancing as WeightBalancing  # isort: skip
from balanced_mixup.methods.combined import Combined as Combined  # isort: skip
