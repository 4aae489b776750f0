#include "residual_sum_cpu.h"

#include <algorithm>

#include "each_part.h"

namespace cm::residual_sum_cpu {
namespace {

constexpr int64_t kNumbersOfAPart = 1 << 12;
constexpr int64_t kPartsOfAThread = 8;

// Rows are positions, of which each number has a channel's bias, or channels, of which all have the same.
struct Write {
  ResidualImages<float> images;

  int64_t rows() const { return images.batch * (images.channels_last ? images.positions : images.channels); }
  int64_t width() const { return images.channels_last ? images.channels : images.positions; }
  int64_t rows_of_a_part() const { return std::max<int64_t>(1, kNumbersOfAPart / width()); }
  int64_t parts() const { return (rows() + rows_of_a_part() - 1) / rows_of_a_part(); }

  template <class V>
  [[gnu::always_inline]] V bias_at(int64_t row, int64_t i, int64_t count) const {
    if (images.bias == nullptr) return V{};
    if (images.channels_last) return vec::load(images.bias + i, count, V{});
    return vec::broadcast<V>(images.bias[row % images.channels]);
  }

  template <class V>
  [[gnu::always_inline]] void run(int64_t part) const {
    const int64_t end = std::min((part + 1) * rows_of_a_part(), rows());
    for (int64_t row = part * rows_of_a_part(); row < end; ++row) {
      for (int64_t i = 0; i < width(); i += vec::kLanes<V>) {
        const int64_t count = std::min(vec::kLanes<V>, width() - i);
        const int64_t place = row * width() + i;
        const V sum = vec::load(images.kept + place, count, V{}) +
                      (vec::load(images.image + place, count, V{}) + bias_at<V>(row, i, count));
        vec::store(images.y + place, count, sum * images.factor);
      }
    }
  }
};

}  // namespace

void write(const ResidualImages<float>& images) {
  const Write pass{images};
  each_part(pass, pass.parts(), kPartsOfAThread);
}

}  // namespace cm::residual_sum_cpu
