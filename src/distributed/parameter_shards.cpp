#include "cm/distributed/parameter_shards.h"

#include <algorithm>

namespace cm {

BucketLayout::BucketLayout(const std::vector<Tensor>& tensors, int64_t bucket_bytes, int64_t parts)
    : places_(tensors.size()) {
  const int64_t capacity = bucket_bytes / static_cast<int64_t>(sizeof(float));
  int64_t numbers = 0;
  const auto close = [&] { sizes_.push_back((numbers + parts - 1) / parts * parts); };
  for (size_t i = tensors.size(); i-- > 0;) {
    if (numbers > 0 && numbers + tensors[i].numel() > capacity) {
      close();
      numbers = 0;
    }
    places_[i] = {.bucket = sizes_.size(), .first = numbers};
    numbers += tensors[i].numel();
  }
  close();
}

Tensor part_of_rank(const Tensor& bucket, const World& world) {
  const int64_t count = bucket.size(0) / world.size();
  return bucket.narrow(0, world.rank() * count, count);
}

ParameterShards::ParameterShards(World world, std::vector<Tensor> parameters, Shard shard,
                                 int64_t bucket_bytes)
    : world_(std::move(world)),
      parameters_(std::move(parameters)),
      shard_(world_.size() == 1 ? Shard::none : shard),
      layout_(parameters_, bucket_bytes, shard_ == Shard::none ? 1 : world_.size()) {
  TORCH_CHECK(!parameters_.empty(), "there are no parameters to train");
  for (const Tensor& parameter : parameters_) {
    if (world_.size() == 1) break;
    TORCH_CHECK(parameter.is_leaf() && parameter.scalar_type() == torch::kFloat32 &&
                    parameter.is_contiguous() && parameter.device() == parameters_.front().device(),
                "what several ranks train are contiguous leaf tensors in fp32 on one device");
  }
  if (shard_ != Shard::none) {
    move_to_buckets();
    return;
  }
  own_ = parameters_;
  for (size_t i = 0; i < parameters_.size(); ++i) pieces_.push_back({i, 0, parameters_[i].numel(), 0});
}

void ParameterShards::move_to_buckets() {
  const torch::NoGradGuard guard;
  const auto options = parameters_.front().options().requires_grad(false);
  for (size_t b = 0; b < layout_.buckets(); ++b) {
    buckets_.push_back(torch::zeros({layout_.size(b)}, options));
  }
  for (size_t i = 0; i < parameters_.size(); ++i) {
    Tensor& parameter = parameters_[i];
    const auto [bucket, first] = layout_.place(i);
    const int64_t count = parameter.numel();
    const Tensor numbers = buckets_[bucket].narrow(0, first, count);
    numbers.copy_(parameter.view({-1}));
    parameter.set_data(numbers.view(parameter.sizes()));
    const int64_t own_first = world_.rank() * part_of(bucket);
    const int64_t from = std::max(first, own_first);
    const int64_t to = std::min(first + count, own_first + part_of(bucket));
    if (from >= to) continue;
    pieces_.push_back({i, from - first, to - from, from - own_first});
    own_.push_back(buckets_[bucket].narrow(0, from, to - from));
  }
  TORCH_CHECK(!own_.empty(), "there are fewer numbers to train than ranks that share them");
}

size_t ParameterShards::pieces_before(size_t parameter) const {
  const auto end = std::ranges::lower_bound(pieces_, parameter, {}, &Piece::parameter);
  return static_cast<size_t>(end - pieces_.begin());
}

std::vector<Tensor> ParameterShards::own_of(size_t count) const {
  return {own_.begin(), own_.begin() + static_cast<ptrdiff_t>(pieces_before(count))};
}

Pending ParameterShards::begin_gather() const {
  std::vector<Pending> begun;
  for (const Tensor& bucket : buckets_) {
    begun.push_back(world_.begin_all_gather(part_of_rank(bucket, world_), bucket));
  }
  return Pending([begun]() mutable {
    for (Pending& one : begun) one.wait();
  });
}

void ParameterShards::gather(const std::vector<Tensor>& parts, size_t count,
                             const std::function<void(size_t, const Tensor&)>& visit) const {
  const torch::NoGradGuard guard;
  if (shard_ == Shard::none) {
    for (size_t i = 0; i < count; ++i) visit(i, parts[i]);
    return;
  }
  for (size_t b = 0; b < layout_.buckets(); ++b) {
    const Tensor bucket = torch::zeros_like(buckets_[b]);
    const Tensor own = part_of_rank(bucket, world_);
    for (size_t k = 0; k < parts.size(); ++k) {
      const Piece& piece = pieces_[k];
      if (layout_.place(piece.parameter).bucket == b)
        own.narrow(0, piece.in_own, piece.count).copy_(parts[k]);
    }
    world_.begin_all_gather(own, bucket).wait();
    for (size_t i = 0; i < count; ++i) {
      const auto [home, first] = layout_.place(i);
      const Tensor& like = parameters_[i];
      if (home == b) visit(i, bucket.narrow(0, first, like.numel()).view(like.sizes()));
    }
  }
}

bool ParameterShards::has_part_of(size_t parameter) const {
  return pieces_before(parameter) < pieces_before(parameter + 1);
}

void ParameterShards::scatter(size_t parameter, const Tensor& whole, const std::vector<Tensor>& parts) const {
  const torch::NoGradGuard guard;
  if (!has_part_of(parameter)) return;
  const Tensor numbers = whole.contiguous().view({-1});
  const size_t k = pieces_before(parameter);
  parts[k].copy_(numbers.narrow(0, pieces_[k].first, pieces_[k].count).view(parts[k].sizes()));
}

}  // namespace cm
