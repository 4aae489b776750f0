#include "group_norm_cpu.h"

#include <ATen/Parallel.h>

#include <cmath>
#include <numeric>

#include "group_norm_bodies.h"
#include "group_norm_walk.h"
#include "processor.h"

namespace cm::group_norm_cpu {
namespace {

// Numbers of one image that a unit aims at, so that the passes over it find x, dy and dx in the L2 cache.
constexpr int64_t kUnitNumbers = 1 << 15;

// fp32 sums are short, and sums of shorter ones; their totals are doubles.
constexpr int64_t kStepsOfAPart = 8;
constexpr int64_t kStepsOfASum = 64;

// Whole groups of one image.
struct Unit {
  int64_t image;
  int64_t channel;  // the first
  int64_t channels;
  int64_t group;  // the first
  int64_t groups;
};

class Units {
 public:
  explicit Units(const Input& input) : input_(input), group_(input.channels / input.groups) {
    // Channels last: whole vectors where that can be.
    const int64_t step = input.layout == Layout::channels_last ? std::lcm(group_, int64_t{16}) : group_;
    size_ = std::max<int64_t>(1, kUnitNumbers / input.positions / step) * step;
    of_image_ = (input.channels + size_ - 1) / size_;
  }
  int64_t count() const { return input_.batch * of_image_; }
  int64_t largest() const { return std::min(size_, input_.channels); }
  Unit operator[](int64_t index) const {
    const int64_t image = index / of_image_;
    const int64_t channel = index % of_image_ * size_;
    const int64_t channels = std::min(size_, input_.channels - channel);
    return {.image = image,
            .channel = channel,
            .channels = channels,
            .group = channel / group_,
            .groups = channels / group_};
  }

 private:
  Input input_;
  int64_t group_;  // channels of a group
  int64_t size_;   // channels of a unit
  int64_t of_image_ = 1;
};

// The channels of a unit that lie in one array.
struct Span {
  int64_t image;
  int64_t channel;  // the first
  int64_t channels;
};

// The unit's, cut at the seam of x.
std::vector<Span> spans_of(const Input& input, const Unit& unit) {
  const int64_t end = unit.channel + unit.channels;
  const int64_t cut = std::clamp(input.x.seam, unit.channel, end);
  std::vector<Span> spans;
  if (cut > unit.channel) spans.push_back({unit.image, unit.channel, cut - unit.channel});
  if (cut < end) spans.push_back({unit.image, cut, end - cut});
  return spans;
}

// Where a span begins in an array of `channels` channels, of which it holds those from `channel` on.
int64_t begin_of(const Input& input, const Span& span, int64_t channels, int64_t channel) {
  const int64_t row = input.layout == Layout::channels_last ? 1 : input.positions;
  return span.image * channels * input.positions + channel * row;
}

template <class X>
X* begin_in(X* whole, const Input& input, const Span& span) {
  return whole + begin_of(input, span, input.channels, span.channel);
}

template <class X>
X* begin_in(const JoinedArrays<X>& arrays, const Input& input, const Span& span) {
  const int64_t seam = arrays.seam;
  return span.channel < seam
             ? arrays.first + begin_of(input, span, seam, span.channel)
             : arrays.second + begin_of(input, span, input.channels - seam, span.channel - seam);
}

// A unit's numbers a channel. h = (x − mean) · slope + offset is what the activation sees.
struct Scratch {
  explicit Scratch(int64_t channels)
      : shift(channels),
        mean(channels),
        slope(channels),
        offset(channels),
        pull(channels),
        push(channels),
        sum(channels),
        product(channels) {}
  void clear_sums() {
    std::fill(sum.begin(), sum.end(), 0);
    std::fill(product.begin(), product.end(), 0);
  }
  std::vector<float> shift;  // the first number
  std::vector<float> mean;   // of the group, less what is added to the channel
  std::vector<float> slope;
  std::vector<float> offset;
  std::vector<float> pull;
  std::vector<float> push;
  std::vector<double> sum;
  std::vector<double> product;
};

double scale_of(const Input& input, int64_t image, int64_t channel) {
  return input.condition == nullptr ? 1.0 : 1.0 + input.condition[image * 2 * input.channels + channel];
}

double added_to(const Input& input, int64_t image, int64_t channel) {
  return input.added == nullptr ? 0.0 : input.added[image * input.added_row + channel];
}

double shift_of(const Input& input, int64_t image, int64_t channel) {
  return input.condition == nullptr ? 0.0 : input.condition[(image * 2 + 1) * input.channels + channel];
}

void set_coefficients(const Input& input, const Unit& unit, const Saved& saved, Scratch& scratch) {
  const int64_t width = unit.channels / unit.groups;
  for (int64_t i = 0; i < unit.channels; ++i) {
    const int64_t group = unit.image * input.groups + unit.group + i / width;
    const int64_t channel = unit.channel + i;
    const double scale = scale_of(input, unit.image, channel);
    scratch.mean[i] = static_cast<float>(saved.mean[group] - added_to(input, unit.image, channel));
    scratch.slope[i] = static_cast<float>(scale * input.weight[channel] * saved.rstd[group]);
    scratch.offset[i] =
        static_cast<float>(scale * input.bias[channel] + shift_of(input, unit.image, channel));
  }
}

// Each group's mean and 1/√(var + ε) from its channels' Σ (x − k) and Σ (x − k)², k a channel's first number,
// which keeps the difference of the two from cancelling where the mean is large.
struct Measured {
  double epsilon;
  Statistics<float> statistics;

  void write(const Input& input, const Unit& unit, const Scratch& scratch) const {
    const int64_t width = unit.channels / unit.groups;
    const auto n = static_cast<double>(input.positions);
    for (int64_t g = 0; g < unit.groups; ++g) {
      const auto channel_mean = [&](int64_t i) {
        return scratch.shift[i] + scratch.sum[i] / n + added_to(input, unit.image, unit.channel + i);
      };
      double total = 0;
      for (int64_t i = g * width; i < (g + 1) * width; ++i) total += channel_mean(i);
      const double m = total / static_cast<double>(width);
      double squares = 0;
      for (int64_t i = g * width; i < (g + 1) * width; ++i) {
        const double inside = scratch.product[i] - scratch.sum[i] * scratch.sum[i] / n;
        squares += std::max(inside, 0.0) + n * (channel_mean(i) - m) * (channel_mean(i) - m);
      }
      const int64_t group = unit.image * input.groups + unit.group + g;
      statistics.mean[group] = static_cast<float>(m);
      statistics.rstd[group] =
          static_cast<float>(1 / std::sqrt(squares / (n * static_cast<double>(width)) + epsilon));
      if (statistics.deviation == nullptr) continue;
      float* const deviation = statistics.deviation + unit.image * input.channels + unit.channel;
      for (int64_t i = g * width; i < (g + 1) * width; ++i) {
        deviation[i] = static_cast<float>(n * (channel_mean(i) - m));
      }
    }
  }
};

template <class V, Layout layout>
Walk<V, layout> walk_of(const Input& input, const Unit& unit, const Span& span) {
  const int64_t own = span.channel < input.x.seam ? input.x.seam : input.channels - input.x.seam;
  constexpr bool last = layout == Layout::channels_last;
  return {.first = span.channel - unit.channel,
          .channels = span.channels,
          .positions = input.positions,
          .stride = last ? input.channels : input.positions,
          .own_stride = last ? own : input.positions};
}

// What a body over one tile is made of.
template <class V, Layout layout>
struct Tile {
  const Input& input;
  const Span& span;
  const Walk<V, layout>& walk;
  int64_t number;

  // Where its span begins.
  template <class Arrays>
  [[gnu::always_inline]] auto* in(const Arrays& arrays) const {
    return begin_in(arrays, input, span);
  }
  [[gnu::always_inline]] V of(const std::vector<float>& channels) const {
    return walk.parameter(channels.data(), number);
  }
  template <class Body>
  [[gnu::always_inline]] void each(Body& body) const {
    walk.each(number, 0, walk.steps(), body);
  }
};

// Runs a body with `sum` and `product` over a whole tile, and adds these to the channels' totals.
template <class V, Layout layout, class Body>
[[gnu::always_inline]] inline void accumulate(const Tile<V, layout>& tile, Body& body, Scratch& scratch) {
  const auto& walk = tile.walk;
  for (int64_t first = 0; first < walk.steps(); first += kStepsOfASum) {
    const int64_t end = std::min(first + kStepsOfASum, walk.steps());
    V sum{};
    V product{};
    for (int64_t part = first; part < end; part += kStepsOfAPart) {
      body.sum = V{};
      body.product = V{};
      walk.each(tile.number, part, std::min(part + kStepsOfAPart, end), body);
      sum += body.sum;
      product += body.product;
    }
    walk.add(sum, tile.number, scratch.sum.data());
    walk.add(product, tile.number, scratch.product.data());
  }
}

// visit(tile) for all tiles of a unit.
template <class V, Layout layout, class Visit>
[[gnu::always_inline]] inline void each_tile(const Input& input, const Unit& unit, const Visit& visit) {
  for (const Span& span : spans_of(input, unit)) {
    const auto walk = walk_of<V, layout>(input, unit, span);
    for (int64_t tile = 0; tile < walk.tiles(); ++tile) visit(Tile<V, layout>{input, span, walk, tile});
  }
}

struct Forward {
  Input input;
  Measured measured;
  float* y;
};

template <class V, bool silu, Layout layout>
[[gnu::always_inline]] inline void write_output(const Forward& job, const Unit& unit,
                                                const Scratch& scratch) {
  each_tile<V, layout>(
      job.input, unit, [&](const Tile<V, layout>& tile) __attribute__((always_inline)) {
        Output<V, silu> body{.x = tile.in(job.input.x),
                             .y = tile.in(job.y),
                             .mean = tile.of(scratch.mean),
                             .slope = tile.of(scratch.slope),
                             .offset = tile.of(scratch.offset)};
        tile.each(body);
      });
}

// Means and coefficients of a unit, by a pass over x.
template <class V, Layout layout>
[[gnu::always_inline]] inline void prepare(const Input& input, const Measured& measured, const Unit& unit,
                                           Scratch& scratch) {
  scratch.clear_sums();
  for (const Span& span : spans_of(input, unit)) {
    walk_of<V, layout>(input, unit, span).first_numbers(begin_in(input.x, input, span), scratch.shift.data());
  }
  each_tile<V, layout>(
      input, unit, [&](const Tile<V, layout>& tile) __attribute__((always_inline)) {
        Moments<V> body{.x = tile.in(input.x), .shift = tile.of(scratch.shift)};
        accumulate(tile, body, scratch);
      });
  measured.write(input, unit, scratch);
  const auto& [mean, rstd, deviation] = measured.statistics;
  set_coefficients(input, unit, {mean, rstd, deviation}, scratch);
}

template <class V, Layout layout>
[[gnu::always_inline]] inline void forward_unit(const Forward& job, const Unit& unit, Scratch& scratch) {
  prepare<V, layout>(job.input, job.measured, unit, scratch);
  if (job.input.silu) {
    write_output<V, true, layout>(job, unit, scratch);
  } else {
    write_output<V, false, layout>(job, unit, scratch);
  }
}

struct Backward {
  Input input;
  Saved saved;
  const float* dy;
  JoinedArrays<float> dx;
  double* sum;      // Σ dh, [batch, channels]
  double* product;  // Σ dh (x − mean)/√(var + ε), [batch, channels]
  float* added;     // Σ dx, [batch, channels] or null
};

// With D numbers in a group and ĝ = dh · (1 + scale) · weight:
// dx = rstd (ĝ − Σ ĝ / D − x̂ Σ ĝ x̂ / D) = dh · slope − ((x − mean) · pull + push).
void set_gradient_coefficients(const Backward& job, const Unit& unit, Scratch& scratch) {
  const Input& input = job.input;
  const int64_t width = unit.channels / unit.groups;
  const double numbers = static_cast<double>(width) * static_cast<double>(input.positions);
  for (int64_t g = 0; g < unit.groups; ++g) {
    const double rstd = job.saved.rstd[unit.image * input.groups + unit.group + g];
    double sum = 0;
    double product = 0;
    for (int64_t i = g * width; i < (g + 1) * width; ++i) {
      const int64_t channel = unit.channel + i;
      const int64_t place = unit.image * input.channels + channel;
      job.sum[place] = scratch.sum[i];
      job.product[place] = scratch.product[i] * rstd;
      const double gain = scale_of(input, unit.image, channel) * input.weight[channel];
      sum += gain * job.sum[place];
      product += gain * job.product[place];
    }
    const double pull = rstd * rstd * product / numbers;
    const double push = rstd * sum / numbers;
    std::fill_n(scratch.pull.begin() + g * width, width, static_cast<float>(pull));
    std::fill_n(scratch.push.begin() + g * width, width, static_cast<float>(push));
    if (job.added == nullptr) continue;
    for (int64_t i = g * width; i < (g + 1) * width; ++i) {
      const int64_t place = unit.image * input.channels + unit.channel + i;
      job.added[place] =
          static_cast<float>(scratch.slope[i] * scratch.sum[i] - job.saved.deviation[place] * pull -
                             static_cast<double>(input.positions) * push);
    }
  }
}

template <class V, bool silu, Layout layout>
[[gnu::always_inline]] inline void sum_gradients(const Backward& job, const Unit& unit, Scratch& scratch) {
  each_tile<V, layout>(
      job.input, unit, [&](const Tile<V, layout>& tile) __attribute__((always_inline)) {
        GradientSums<V, silu> body{.x = tile.in(job.input.x),
                                   .dy = tile.in(job.dy),
                                   .dx = tile.in(job.dx),
                                   .mean = tile.of(scratch.mean),
                                   .slope = tile.of(scratch.slope),
                                   .offset = tile.of(scratch.offset)};
        accumulate(tile, body, scratch);
      });
}

template <class V, bool silu, Layout layout>
[[gnu::always_inline]] inline void write_input_gradient(const Backward& job, const Unit& unit,
                                                        const Scratch& scratch) {
  each_tile<V, layout>(
      job.input, unit, [&](const Tile<V, layout>& tile) __attribute__((always_inline)) {
        InputGradient<V, silu> body{.x = tile.in(job.input.x),
                                    .dy = tile.in(job.dy),
                                    .dx = tile.in(job.dx),
                                    .mean = tile.of(scratch.mean),
                                    .slope = tile.of(scratch.slope),
                                    .pull = tile.of(scratch.pull),
                                    .push = tile.of(scratch.push)};
        tile.each(body);
      });
}

template <class V, bool silu, Layout layout>
[[gnu::always_inline]] inline void gradients_of_unit(const Backward& job, const Unit& unit,
                                                     Scratch& scratch) {
  sum_gradients<V, silu, layout>(job, unit, scratch);
  set_gradient_coefficients(job, unit, scratch);
  write_input_gradient<V, silu, layout>(job, unit, scratch);
}

template <class V, Layout layout>
[[gnu::always_inline]] inline void backward_unit(const Backward& job, const Unit& unit, Scratch& scratch) {
  scratch.clear_sums();
  set_coefficients(job.input, unit, job.saved, scratch);
  if (job.input.silu) {
    gradients_of_unit<V, true, layout>(job, unit, scratch);
  } else {
    gradients_of_unit<V, false, layout>(job, unit, scratch);
  }
}

struct Tangent {
  Input input;
  Measured measured;
  Tangents tangents;
  float* y_dot;
};

// With D numbers in a group and x̂ = (x − mean) rstd, whose differential is rstd (ẋ − Σ ẋ/D − x̂ Σ ẋ x̂/D):
// ḣ = (1 + scale) weight · dx̂ + (x̂ weight + bias) · dscale + dshift.
void set_tangent_coefficients(const Tangent& job, const Unit& unit, Scratch& scratch) {
  const Input& input = job.input;
  const int64_t width = unit.channels / unit.groups;
  const double numbers = static_cast<double>(width) * static_cast<double>(input.positions);
  const float* const condition = job.tangents.condition;
  const float* const added = job.tangents.added;
  const int64_t first = unit.image * input.channels + unit.channel;
  for (int64_t i = 0; added != nullptr && i < unit.channels; ++i) {
    scratch.sum[i] += static_cast<double>(input.positions) * added[first + i];
    scratch.product[i] += added[first + i] * job.measured.statistics.deviation[first + i];
  }
  for (int64_t g = 0; g < unit.groups; ++g) {
    const double rstd = job.measured.statistics.rstd[unit.image * input.groups + unit.group + g];
    const auto sum_of = [&](const std::vector<double>& sums) {
      return std::accumulate(sums.begin() + g * width, sums.begin() + (g + 1) * width, 0.0);
    };
    const double mean_dot = sum_of(scratch.sum) / numbers;
    const double turn = rstd * rstd * sum_of(scratch.product) / numbers;
    for (int64_t i = g * width; i < (g + 1) * width; ++i) {
      const int64_t channel = unit.channel + i;
      const int64_t place = unit.image * 2 * input.channels + channel;
      const double scale = condition == nullptr ? 0 : condition[place];
      const double shift = condition == nullptr ? 0 : condition[place + input.channels];
      scratch.pull[i] = static_cast<float>(input.weight[channel] * rstd * scale - scratch.slope[i] * turn);
      const double moved = (added == nullptr ? 0.0 : added[first + i]) - mean_dot;
      scratch.push[i] = static_cast<float>(input.bias[channel] * scale + shift + scratch.slope[i] * moved);
    }
  }
}

template <class V, bool silu, Layout layout>
[[gnu::always_inline]] inline void write_tangent(const Tangent& job, const Unit& unit,
                                                 const Scratch& scratch) {
  each_tile<V, layout>(
      job.input, unit, [&](const Tile<V, layout>& tile) __attribute__((always_inline)) {
        TangentOutput<V, silu> body{.x = tile.in(job.input.x),
                                    .x_dot = tile.in(job.tangents.x),
                                    .y_dot = tile.in(job.y_dot),
                                    .mean = tile.of(scratch.mean),
                                    .slope = tile.of(scratch.slope),
                                    .offset = tile.of(scratch.offset),
                                    .pull = tile.of(scratch.pull),
                                    .push = tile.of(scratch.push)};
        tile.each(body);
      });
}

template <class V, Layout layout>
[[gnu::always_inline]] inline void tangent_unit(const Tangent& job, const Unit& unit, Scratch& scratch) {
  prepare<V, layout>(job.input, job.measured, unit, scratch);
  scratch.clear_sums();
  each_tile<V, layout>(
      job.input, unit, [&](const Tile<V, layout>& tile) __attribute__((always_inline)) {
        TangentSums<V> body{
            .x = tile.in(job.input.x), .x_dot = tile.in(job.tangents.x), .mean = tile.of(scratch.mean)};
        accumulate(tile, body, scratch);
      });
  set_tangent_coefficients(job, unit, scratch);
  if (job.input.silu) {
    write_tangent<V, true, layout>(job, unit, scratch);
  } else {
    write_tangent<V, false, layout>(job, unit, scratch);
  }
}

template <class V>
[[gnu::always_inline]] inline void run(const Forward& job, const Unit& unit, Scratch& scratch) {
  switch (job.input.layout) {
    case Layout::channels_first:
      return forward_unit<V, Layout::channels_first>(job, unit, scratch);
    case Layout::channels_last:
      return forward_unit<V, Layout::channels_last>(job, unit, scratch);
  }
}

template <class V>
[[gnu::always_inline]] inline void run(const Backward& job, const Unit& unit, Scratch& scratch) {
  switch (job.input.layout) {
    case Layout::channels_first:
      return backward_unit<V, Layout::channels_first>(job, unit, scratch);
    case Layout::channels_last:
      return backward_unit<V, Layout::channels_last>(job, unit, scratch);
  }
}

template <class V>
[[gnu::always_inline]] inline void run(const Tangent& job, const Unit& unit, Scratch& scratch) {
  switch (job.input.layout) {
    case Layout::channels_first:
      return tangent_unit<V, Layout::channels_first>(job, unit, scratch);
    case Layout::channels_last:
      return tangent_unit<V, Layout::channels_last>(job, unit, scratch);
  }
}

template <class Job>
using Runner = void (*)(const Job&, const Unit&, Scratch&);

template <class Job>
CM_TARGET_AVX512 void run_avx512(const Job& job, const Unit& unit, Scratch& scratch) {
  run<vec::Floats16>(job, unit, scratch);
}

template <class Job>
CM_TARGET_AVX2 void run_avx2(const Job& job, const Unit& unit, Scratch& scratch) {
  run<vec::Floats8>(job, unit, scratch);
}

template <class Job>
void run_anywhere(const Job& job, const Unit& unit, Scratch& scratch) {
  run<vec::Floats4>(job, unit, scratch);
}

template <class Job>
void run_all(const Job& job) {
  const auto runner = by_processor<Runner<Job>>(run_anywhere<Job>, run_avx2<Job>, run_avx512<Job>);
  const Units units(job.input);
  at::parallel_for(0, units.count(), 1, [&](int64_t first, int64_t end) {
    Scratch scratch(units.largest());
    for (int64_t i = first; i < end; ++i) runner(job, units[i], scratch);
  });
}

}  // namespace

void forward(const Input& input, double epsilon, float* y, const Statistics<float>& statistics) {
  run_all(Forward{.input = input, .measured = {epsilon, statistics}, .y = y});
}

void backward(const Input& input, const Saved& saved, const float* dy, const JoinedArrays<float>& dx,
              const ParameterGradients& gradients) {
  const auto size = static_cast<size_t>(input.batch * input.channels);
  std::vector<double> sum(size);
  std::vector<double> product(size);
  run_all(Backward{.input = input,
                   .saved = saved,
                   .dy = dy,
                   .dx = dx,
                   .sum = sum.data(),
                   .product = product.data(),
                   .added = gradients.added});
  for (int64_t c = 0; c < input.channels; ++c) {
    double weight = 0;
    double bias = 0;
    for (int64_t b = 0; b < input.batch; ++b) {
      const int64_t place = b * input.channels + c;
      const double scale = scale_of(input, b, c);
      weight += scale * product[place];
      bias += scale * sum[place];
      if (gradients.condition == nullptr) continue;
      float* const condition = gradients.condition + b * 2 * input.channels;
      condition[c] = static_cast<float>(input.weight[c] * product[place] + input.bias[c] * sum[place]);
      condition[input.channels + c] = static_cast<float>(sum[place]);
    }
    gradients.weight[c] = static_cast<float>(weight);
    gradients.bias[c] = static_cast<float>(bias);
  }
}

void tangent(const Input& input, double epsilon, const Tangents& tangents, float* y_dot) {
  const auto size = static_cast<size_t>(input.batch * input.groups);
  std::vector<float> mean(size);
  std::vector<float> rstd(size);
  std::vector<float> deviation(static_cast<size_t>(tangents.added ? input.batch * input.channels : 0));
  run_all(Tangent{.input = input,
                  .measured = {epsilon,
                               {.mean = mean.data(),
                                .rstd = rstd.data(),
                                .deviation = tangents.added ? deviation.data() : nullptr}},
                  .tangents = tangents,
                  .y_dot = y_dot});
}

}  // namespace cm::group_norm_cpu
