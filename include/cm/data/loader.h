// Batches that are ready before they are asked for.
#pragma once

#include <cstdint>
#include <memory>

#include "cm/base/tensor.h"
#include "cm/data/dataset.h"

namespace cm {

struct Batch {
  Tensor x;         // fp32 [B, C, H, W], of pictures in [−1, 1], on the CPU (page-locked if asked for)
  Tensor labels;    // int64 [B]
  Tensor x_T = {};  // of pairs (cm/data/pairs.h) what x was made of, like x; undefined for other data
};

struct LoaderOptions {
  int64_t batch_size = 64;
  // Of each batch this loader gives the part number `part` of `parts` equal ones only, those that its process
  // trains on.
  int64_t part = 0;
  int64_t parts = 1;
  uint64_t seed = 0;
  int64_t workers = 2;
  int64_t prefetch = 4;  // batches read ahead
  bool horizontal_flip = false;
  bool pinned = false;  // page-locked memory, for asynchronous copies to a GPU
};

// An endless stream of batches. Sample s of the stream (s = step · batch_size + i) is image permutation_e[s
// mod n] of epoch e = s / n, mirrored or not, or its latent drawn, by a draw of s: it depends on the seed and
// s alone, never on workers or parts, so a stream that starts at step k continues one that ended there, in
// mid-epoch too. A batch may span two epochs.
class Loader {
 public:
  // Starts the workers at batch `first_step`. `dataset` must outlive the loader.
  Loader(const Dataset& dataset, const LoaderOptions& options, int64_t first_step = 0);
  ~Loader();
  Loader(const Loader&) = delete;
  Loader& operator=(const Loader&) = delete;

  // The next batch. Throws what a worker met (a broken image file).
  Batch next();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace cm
