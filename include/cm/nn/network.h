// What every image network offers: a raw function F(x | time, labels, …) that knows nothing of noise levels.
#pragma once

#include <torch/nn/module.h>

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "cm/base/fields.h"
#include "cm/base/limits.h"
#include "cm/nn/compute_type.h"

namespace cm {

// The images a network is made for.
struct ImageSpec {
  int64_t channels = 3;
  int64_t size = 32;    // side in pixels
  int64_t classes = 0;  // 0: not class-conditional
};

template <class Visitor>
void fields(Visitor& visit, ImageSpec& o) {
  visit("channels", o.channels, "colour channels", within(1, kMostChannels));
  visit("size", o.size, "side in pixels", within(1, kLargestSide));
  visit("classes", o.classes, "number of classes, 0 when not class-conditional", within(0, kMostClasses));
}

// "3 × 32 × 32, 10 classes"
std::string in_words(const ImageSpec& image);

// Options that every architecture has.
struct CommonNetworkOptions {
  double dropout = 0;  // in training
  bool activation_checkpointing = false;
  bool second_time = false;  // takes Conditioning::second_time
};

// Those that every architecture lets a config set.
template <class Visitor>
void fields(Visitor& visit, CommonNetworkOptions& o) {
  visit("activation_checkpointing", o.activation_checkpointing,
        "recompute blocks in the backward pass: less memory, about a third more time");
  visit("second_time", o.second_time, "has two times, as flow maps need; the objective says whether it must");
}

// Weights by name, of which names and shapes alone are read: tensors on the meta device will do.
using WeightShapes = std::map<std::string, Tensor>;

// The label of an example whose class is not told (classifier-free guidance: cm/diffusion/guidance.h): a
// class-conditional network leaves out what it adds for a class, so that no weight stands for it, unless it
// was published with weights that do.
inline constexpr int64_t kNullClass = -1;

// What a network is told beside the images, each number of it an image's. Tensors may be undefined but for
// the time.
struct Conditioning {
  Tensor time;              // [B]
  Tensor labels = {};       // int64 [B], classes or kNullClass
  Tensor second_time = {};  // [B], where a flow map goes to (cm/diffusion/path.h), in units of `time`
  Tensor guidance = {};     // [B], the weight of the guidance that a network learned for many weights
};

class Network : public torch::nn::Module {
 public:
  // x [B, C, H, W] → [B, C, H, W] in fp32. `told` has labels exactly when the network is class-conditional
  // and a second time exactly when it has two, otherwise c10::Error, as for a guidance that it does not take.
  // `dropout_keys` are those of cm/kernels/dropout.h; without them nothing is dropped.
  Tensor forward(const Tensor& x, const Conditioning& told, const Tensor& dropout_keys = {});

  // What forward computes its trunk in from now on; a network without a trunk computes in fp32 always.
  void compute_in(ComputeType type) { compute_type_ = type; }
  ComputeType compute_type() const { return compute_type_; }

  // Makes the weights that the trunk casts what the compute type's passes need, in their place, which spares
  // casts, half their memory and what else is computed of weights alone. For weights that no longer change
  // and that nobody reads.
  virtual void hold_in_compute_type() {}

  virtual bool takes_second_time() const { return false; }

  // The parameters that leave a second time without a say where they are 0, from which they can be learned.
  virtual std::vector<std::string> ends_of_second_time() const { return {}; }

 protected:
  virtual Tensor compute(const Tensor& x, const Conditioning& told, const Tensor& dropout_keys) = 0;
  virtual bool takes_guidance() const { return false; }

  // x as the trunk's first convolution takes it.
  Tensor trunk_input(const Tensor& x) const;

 private:
  ComputeType compute_type_ = ComputeType::fp32;
};

// Number of parameters.
int64_t parameter_count(const torch::nn::Module& module);

// What a weight file holds of a module: its parameters and its buffers (numbers that are fixed but not
// derived), by name; the module's own storage.
std::map<std::string, Tensor> weights_of(const torch::nn::Module& module);

// InputError, with the first differing names and shapes and `what` in front, when `from` has other tensors
// than weights_of(to), or than `like`. Only names and shapes are read: tensors on the meta device will do.
void check_weights(const std::map<std::string, Tensor>& from, const torch::nn::Module& to,
                   const std::string& what);
void check_weights(const std::map<std::string, Tensor>& from, const std::map<std::string, Tensor>& like,
                   const std::string& what);

// Copies all weights of `from` into `to`, by name, on `to`'s device. InputError as check_weights.
void copy_weights(const torch::nn::Module& from, torch::nn::Module& to, const std::string& what);
void copy_weights(const std::map<std::string, Tensor>& from, torch::nn::Module& to, const std::string& what);

}  // namespace cm
