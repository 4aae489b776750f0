// The parameters that several ranks train together, and the part of each that falls to a rank: what it keeps
// the optimizer's state, the averages and the gradients of, and updates (ZeRO: Rajbhandari et al. 2019, arXiv
// 1910.02054).
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "cm/base/tensor.h"
#include "cm/distributed/world.h"

namespace cm {

// What of training's state is cut into parts, one a rank.
enum class Shard {
  none,
  optimizer,  // the moments and the averages: ZeRO's stage 1
  gradients,  // and the gradients, which are sent after every micro-batch: stage 2
};

// Where tensors lie in buckets, buffers that take neighbours end to end, from the last tensor to the first,
// because that is about the order in which a backward pass finishes them.
class BucketLayout {
 public:
  struct Place {
    size_t bucket = 0;
    int64_t first = 0;
  };

  // Buckets of at most `bucket_bytes`, but for a tensor that alone is larger; each is a multiple of `parts`
  // numbers, those behind its last tensor being nobody's.
  BucketLayout(const std::vector<Tensor>& tensors, int64_t bucket_bytes, int64_t parts);

  size_t buckets() const { return sizes_.size(); }
  int64_t size(size_t bucket) const { return sizes_[bucket]; }  // in numbers
  const Place& place(size_t tensor) const { return places_[tensor]; }

 private:
  std::vector<int64_t> sizes_;
  std::vector<Place> places_;
};

class ParameterShards {
 public:
  static constexpr int64_t kBucketBytes = 25 << 20;

  // Of contiguous leaf tensors, fp32, on one device. Where they are cut, their numbers move to buffers, as
  // whose parts the same tensors go on.
  ParameterShards(World world, std::vector<Tensor> parameters, Shard shard,
                  int64_t bucket_bytes = kBucketBytes);

  const World& world() const { return world_; }
  const std::vector<Tensor>& parameters() const { return parameters_; }
  const BucketLayout& layout() const { return layout_; }
  // `none` with one rank, whatever was asked for.
  Shard shard() const { return shard_; }

  // A piece of a parameter that falls to this rank: numbers first … first + count − 1 of it, in its bucket's
  // part that is this rank's from number `in_own` on.
  struct Piece {
    size_t parameter = 0;
    int64_t first = 0;
    int64_t count = 0;
    int64_t in_own = 0;
  };
  const std::vector<Piece>& pieces() const { return pieces_; }

  // What this rank updates, one tensor a piece, in the order of the parameters: parts of them,
  // one-dimensional where they are cut; else the parameters. `own_of`: of the first `count` parameters.
  const std::vector<Tensor>& own() const { return own_; }
  std::vector<Tensor> own_of(size_t count) const;

  // Begins to make every parameter what the ranks have made of their parts. Until its wait() none is to be
  // written, nor read where another rank writes.
  Pending begin_gather() const;

  // Of a list like own_of(count), the whole tensors: calls visit(i, whole) for each of the first `count`
  // parameters; `whole`, in the parameter's shape, is not to be kept. On all ranks together; holds one bucket
  // at a time.
  void gather(const std::vector<Tensor>& parts, size_t count,
              const std::function<void(size_t parameter, const Tensor& whole)>& visit) const;

  // Whether a piece of this parameter falls to this rank.
  bool has_part_of(size_t parameter) const;

  // Copies this rank's part of `whole`, which is of parameter i, into a list like own_of(count).
  void scatter(size_t parameter, const Tensor& whole, const std::vector<Tensor>& parts) const;

 private:
  void move_to_buckets();
  // How many pieces are of parameters before this one.
  size_t pieces_before(size_t parameter) const;
  int64_t part_of(size_t bucket) const { return layout_.size(bucket) / world_.size(); }

  World world_;
  std::vector<Tensor> parameters_;
  Shard shard_;
  BucketLayout layout_;
  std::vector<Tensor> buckets_;  // the parameters' numbers, where they are cut
  std::vector<Piece> pieces_;
  std::vector<Tensor> own_;
};

// Number `rank` of the equal parts of `bucket` that fall to the ranks.
Tensor part_of_rank(const Tensor& bucket, const World& world);

}  // namespace cm
