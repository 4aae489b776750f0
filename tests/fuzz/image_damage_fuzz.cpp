// The walks over a PNG's chunks and a JPEG's segments alone, without the decoders.
#include "cm/io/image.h"
#include "fuzz/fuzz_target.h"
#include "src/io/image_damage.h"

namespace cm::fuzz {
namespace {

std::vector<std::string> image_damage_seeds() {
  using namespace std::string_literals;
  return {encode_png(torch::zeros({1, 2, 2}, torch::kUInt8)),
          "\xff\xd8\xff\xe0\0\4ab\xff\xda\0\3cd\xff\0e\xff\xd0\xff\xd9"s};
}

void look_for_damage(const std::string& input) {
  if (const std::string damage = damage_of_image(input); !damage.empty()) throw InputError(damage);
  require(damage_of_image(input + "more").empty(), "what follows an image does not damage it");
}

const Listed kImageDamage({"image_damage", image_damage_seeds, look_for_damage});

}  // namespace
}  // namespace cm::fuzz
