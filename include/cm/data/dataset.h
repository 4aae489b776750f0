// Labelled images by index.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cm/base/fields.h"
#include "cm/base/limits.h"
#include "cm/base/tensor.h"
#include "cm/data/latent_space.h"

namespace cm {

// One image, uint8 [C, H, W] (any strides), and its class (0 where the data has none).
struct Example {
  Tensor pixels;
  int64_t label = 0;
};

// A larger "class" is some other number.
constexpr int64_t kMaxClasses = 1'000'000;

class LatentDataset;
class NumberDataset;
class PairDataset;

// Every image has the same shape. `get` may be called from several threads at once.
class Dataset {
 public:
  virtual ~Dataset() = default;
  virtual int64_t size() const = 0;
  virtual int64_t channels() const = 0;
  virtual int64_t image_size() const = 0;
  // Number of classes; 0 where the data has no labels.
  virtual int64_t classes() const = 0;
  // `index` in [0, size()). InputError when an image file turns out to be broken.
  virtual Example get(int64_t index) const = 0;
  // Itself where it is no set of pictures.
  virtual const NumberDataset* numbers() const { return nullptr; }
  // Itself where it is one of pairs (cm/data/pairs.h), or of latents (cm/data/latents.h).
  virtual const PairDataset* pairs() const { return nullptr; }
  virtual const LatentDataset* latents() const { return nullptr; }
};

// A sample of a run's stream (cm/data/loader.h), which what is drawn for it depends on.
struct StreamPlace {
  uint64_t seed = 0;
  int64_t sample = 0;
};

// Data that are no pictures: they write the numbers of a batch themselves. None are mirrored.
class NumberDataset : public Dataset {
 public:
  const NumberDataset* numbers() const final { return this; }
  // Whether there is an x_T beside x.
  virtual bool has_starts() const { return false; }
  // Writes example `index`, C · S · S numbers of x, and of x_T where there is one, and gives its label. From
  // any thread; InputError when its file can't be read.
  virtual int64_t read(int64_t index, const StreamPlace& place, float* x, float* x_T) const = 0;
  // c10::Error: there are no pixels.
  Example get(int64_t index) const override;
};

// Images as one tensor, uint8 [N, C, H, W], and their classes, int64 [N]; undefined where the data has none.
struct Examples {
  Tensor pixels;
  Tensor labels;
};

// The first `count` in [1, size()] examples, in the data's own order. InputError when an image file is
// broken.
Examples first_examples(const Dataset& dataset, int64_t count);

// A kind of data, by its name in the list of src/data/kinds.h.
struct DatasetKind {
  std::string_view name;
  bool operator==(const DatasetKind&) const = default;
};
const std::vector<EnumName<DatasetKind>>& dataset_kind_names();
template <>
struct EnumNames<DatasetKind> {
  static inline const auto& names = dataset_kind_names();
};

// "digits: …; folder: …", for the help of data.kind.
std::string dataset_kinds_help();

// Random patches of pictures (src/data/patches.h).
struct PatchOptions {
  int64_t count = 50'000;
  int64_t reduce = 1;
  int64_t seed = 0;
};

template <class Visitor>
void fields(Visitor& visit, PatchOptions& o) {
  visit("count", o.count, "how many patches there are: an epoch", within(1, 1'000'000'000));
  visit("reduce", o.reduce, "the pictures are made smaller by this whole factor first", within(1, 1000));
  visit("seed", o.seed, "which patches: patch i depends on this seed and i alone", within(0, kLargestSeed));
}

inline constexpr int64_t kDefaultChannels = 3;  // of image folders and patches

struct DataOptions {
  DatasetKind kind = {"digits"};
  std::string path = "";
  std::optional<int64_t> image_size = std::nullopt;
  std::optional<int64_t> channels = std::nullopt;
  bool labels = true;
  bool horizontal_flip = false;
  int64_t workers = 2;
  std::optional<PatchOptions> patches = std::nullopt;
  std::optional<LatentOptions> latents = std::nullopt;
};

template <class Visitor>
void fields(Visitor& visit, DataOptions& o) {
  visit("kind", o.kind, dataset_kinds_help());
  visit("path", o.path, "file or folder of the data (docs/data.md)");
  visit("image_size", o.image_size,
        "side in pixels that image files are resized and centre-cropped to, and of patches (default 32); "
        "other data as stored",
        within(1, kLargestSide));
  visit("channels", o.channels,
        "1 (grey) or 3 (RGB): what image files and patches are brought to (default 3); other data as stored",
        within(1, 3));
  visit("labels", o.labels, "use the labels that the data has (class-conditional training)");
  visit("horizontal_flip", o.horizontal_flip, "mirror every image with probability 1/2");
  visit("workers", o.workers, "threads that read ahead", within(1, 256));
  visit("patches", o.patches, "the draw of kind patches");
  visit("latents", o.latents, "how those of kind latents are normalised, and their VAE");
}

void validate(const DataOptions& options, const Complain& complain);

struct DatasetShape {
  int64_t channels = 0;
  int64_t image_size = 0;
  std::optional<int64_t> classes = std::nullopt;  // none where the data alone knows
};

// Of the images that these options train on, as far as it is known without the data; none where their size
// is not.
std::optional<DatasetShape> shape_of(const DataOptions& options);

// Opens the data and checks it: a missing, empty, truncated or wrong-size file is an InputError that names
// it. Image files are checked by how each begins (in an archive, by its size), not by decoding them; the
// pictures of patches are decoded.
std::unique_ptr<Dataset> open_dataset(const DataOptions& options);

}  // namespace cm
