// Networks told from the names and shapes of weights, {"name": [sizes], …}.
#include "cm/io/json.h"
#include "cm/nn/networks.h"
#include "fuzz/fuzz_target.h"
#include "support/small_dit.h"
#include "support/tiny_model.h"

namespace cm::fuzz {
namespace {

std::string shapes_of(const NetworkOptions& network) {
  ModelOptions options = test::tiny_options();
  options.network = network;
  Json shapes = Json::object();
  for (const auto& [name, tensor] : Model(options, torch::kCPU).named_weights())
    shapes[name] = tensor.sizes().vec();
  return json_text(shapes);
}

std::vector<std::string> weight_shapes_seeds() {
  return {shapes_of(test::tiny_network()), shapes_of(test::tiny_network<DdpmppOptions>()),
          shapes_of(test::tiny_ncsnpp()), shapes_of(test::tiny_network<Edm2Options>()),
          shapes_of(test::small_dit())};
}

// As much as a file of a megabyte can hold; a size of 0 lets the others be any.
bool fits_a_file(const std::vector<int64_t>& shape) {
  int64_t elements = 1;
  for (const int64_t size : shape) {
    if (size < 0 || (size > 0 && elements > (1 << 20) / size)) return false;
    elements *= std::max<int64_t>(size, 1);
  }
  return shape.size() <= 8;
}

void infer_from_shapes(const std::string& input) {
  const Json shapes = parse_json(input);
  if (!shapes.is_object()) throw InputError("no object");
  std::map<std::string, Tensor> weights;
  for (const auto& [name, sizes] : shapes.items()) {
    std::vector<int64_t> shape;
    set_from_json(sizes, name, shape);
    if (!fits_a_file(shape)) throw InputError("too large");
    weights[name] = torch::empty(shape, torch::kMeta);
  }
  const InferredNetwork inferred = infer_network(weights, 4, "input");
  check_fits(inferred.network, inferred.image);
}

const Listed kWeightShapes({"weight_shapes", weight_shapes_seeds, infer_from_shapes});

}  // namespace
}  // namespace cm::fuzz
