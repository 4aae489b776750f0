// Tensors on their way from diffusers' names to ours.
#pragma once

#include <string>
#include <vector>

#include "cm/base/text.h"
#include "cm/io/safetensors.h"

namespace cm {

// What has no place among ours keeps its name.
class TensorRenaming {
 public:
  explicit TensorRenaming(NamedTensors theirs) : theirs_(std::move(theirs)) {}

  void move(const std::string& their, const std::string& our) {
    if (auto tensor = theirs_.extract(their)) ours_[our] = std::move(tensor.mapped());
  }

  void layer(const std::string& their, const std::string& our) {
    for (const char* part : {".weight", ".bias"}) move(their + part, our + part);
  }

  // Three layers of attention, to_q, to_k and to_v, as the rows of one.
  void join_qkv(const std::string& their, const std::string& our) {
    for (const char* part : {".weight", ".bias"}) {
      std::vector<Tensor> parts;
      for (const char* name : {".to_q", ".to_k", ".to_v"}) {
        const auto found = theirs_.find(concat(their, name, part));
        if (found != theirs_.end()) parts.push_back(found->second);
      }
      const bool alike = parts.size() == 3 && parts[0].dim() > 0 && parts[0].sizes() == parts[1].sizes() &&
                         parts[0].sizes() == parts[2].sizes();
      if (!alike) continue;
      for (const char* name : {".to_q", ".to_k", ".to_v"}) theirs_.erase(concat(their, name, part));
      ours_[our + part] = torch::cat(parts);
    }
  }

  // What was moved, and what had no place.
  NamedTensors take() {
    ours_.merge(theirs_);
    return std::move(ours_);
  }

 protected:
  NamedTensors theirs_;
  NamedTensors ours_;
};

}  // namespace cm
