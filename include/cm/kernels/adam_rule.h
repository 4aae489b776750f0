// Adam's hyperparameters, for code of any processor.
#pragma once

namespace cm {

// Adam (Kingma & Ba 2014, arXiv 1412.6980) and its relatives.
struct AdamRule {
  double beta1 = 0.9;
  double beta2 = 0.999;
  double eps = 1e-8;
  double weight_decay = 0;
  bool decoupled = false;  // the decay shrinks θ itself (Loshchilov & Hutter 2017, arXiv 1711.05101)
  bool rectified = false;  // RAdam (Liu et al. 2019, arXiv 1908.03265)
};

}  // namespace cm
