#include "edit_input.h"

#include <algorithm>
#include <limits>

#include "class_labels.h"
#include "cm/base/error.h"
#include "cm/base/text.h"
#include "cm/data/pictures.h"
#include "cm/data/resize.h"
#include "cm/io/image.h"
#include "image_output.h"

namespace cm {
namespace {

constexpr int64_t kWhite = 128;

std::string sides(const Tensor& pixels) {
  return concat(pixels.size(2), "×", pixels.size(1));
}

void check_factor(int64_t factor, int64_t size) {
  if (factor >= 2 && size % factor == 0) return;
  std::vector<std::string> divisors;
  for (int64_t d = 2; d <= size; ++d) {
    if (size % d == 0) divisors.push_back(std::to_string(d));
  }
  throw InputError(concat("--factor must divide the model's side of ", size, " pixels (", join(divisors),
                          "), got ", factor));
}

bool is_small(const Picture& picture, const EditOptions& options, int64_t size) {
  if (options.task != EditTask::superres) return false;
  const int64_t side = size / *options.factor;
  return picture.pixels.size(1) == side && picture.pixels.size(2) == side;
}

// Every pixel as a patch.
Tensor enlarged(const Tensor& pixels, int64_t factor) {
  return pixels.repeat_interleave(factor, 1).repeat_interleave(factor, 2);
}

// true outside the box; bool [1, S, S].
Tensor known_around_box(const std::vector<uint64_t>& box, int64_t size) {
  const auto side = static_cast<uint64_t>(size);
  const auto fits = [&](uint64_t start, uint64_t length) {
    return 1 <= length && length <= side && start <= side - length;
  };
  if (!fits(box[0], box[2]) || !fits(box[1], box[3])) {
    throw InputError(concat("--box must be x,y,w,h inside the model's image of ", size, "×", size,
                            " pixels, got ", box[0], ",", box[1], ",", box[2], ",", box[3]));
  }
  const auto at = [&](size_t i) { return static_cast<int64_t>(box[i]); };
  Tensor known = torch::ones({1, size, size}, torch::kBool);
  known.narrow(1, at(1), at(3)).narrow(2, at(0), at(2)).fill_(false);
  return known;
}

// Where the mask is white on a picture that is stored as `picture`; bool [1, S, S].
Tensor known_by_mask(const std::string& path, const Tensor& mask, const Picture& picture, int64_t size) {
  const bool of_the_model = mask.size(1) == size && mask.size(2) == size;
  const bool of_the_picture =
      mask.size(1) == picture.pixels.size(1) && mask.size(2) == picture.pixels.size(2);
  if (!of_the_model && !of_the_picture) {
    throw InputError(concat(path, ": is ", sides(mask), " pixels; a mask needs the model's ", size, "×", size,
                            " or the ", sides(picture.pixels), " of ", picture.name));
  }
  return center_crop(mask, size) >= kWhite;
}

Tensor known_of(const EditOptions& options, const std::vector<Picture>& pictures, int64_t size) {
  std::vector<Tensor> known;
  if (options.mask) {
    const Tensor mask = read_image(*options.mask, 1);
    for (const auto& picture : pictures) known.push_back(known_by_mask(*options.mask, mask, picture, size));
  } else {
    known.assign(pictures.size(), known_around_box(options.box, size));
  }
  return torch::stack(known);
}

// The pictures' own classes, where all are known and the model has them.
std::optional<Tensor> stored_labels(const std::vector<Picture>& pictures, int64_t available) {
  std::vector<int64_t> labels;
  for (const auto& picture : pictures) {
    if (!picture.label || *picture.label >= available) return std::nullopt;
    labels.push_back(*picture.label);
  }
  return torch::tensor(labels, torch::kInt64);
}

}  // namespace

EditInput read_edit_input(const EditOptions& options, const ImageSpec& image) {
  if (options.task == EditTask::colorize && image.channels != 3) {
    throw InputError("colorize needs a model of colour images (3 channels); this one makes grey ones");
  }
  if (options.task == EditTask::superres) check_factor(*options.factor, image.size);
  const auto pictures = read_pictures(*options.input, image.channels,
                                      options.count.value_or(std::numeric_limits<int64_t>::max()));
  const auto available = static_cast<int64_t>(pictures.size());
  const Tensor order = torch::arange(options.count.value_or(available)).remainder(available);

  EditInput input;
  std::vector<Tensor> pixels;
  for (const auto& picture : pictures) {
    const bool small = is_small(picture, options, image.size);
    pixels.push_back(small ? enlarged(picture.pixels, *options.factor)
                           : center_crop(picture.pixels, image.size));
    input.pictures.push_back(picture.name);
    input.small_pictures += small ? 1 : 0;
  }
  input.reference = from_uint8(torch::stack(pixels)).index_select(0, order);
  if (options.task == EditTask::inpaint) {
    input.known = known_of(options, pictures, image.size).index_select(0, order);
    if (input.known.all().item<bool>()) {
      input.remarks.emplace_back("the mask is white everywhere, which leaves nothing to fill");
    }
  }
  const auto stored = stored_labels(pictures, image.classes);
  if (stored && !options.classes) {
    input.labels = stored->index_select(0, order);
    return input;
  }
  input.labels = class_labels(options.classes, image.classes, order.size(0));
  if (input.labels.defined() && !options.classes) {
    input.remarks.emplace_back(
        "the model has classes, and neither --class nor the input says which; all were taken in order");
  }
  return input;
}

}  // namespace cm
