#include "cm/config/run_config.h"

#include <gmock/gmock.h>

#include "cm/config/yaml_reader.h"
#include "config/mistakes_of.h"

namespace cm {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::StartsWith;

const std::string kModel = "data: {path: images}\nmodel: {channels: 32}\n";

RunConfig read(const std::string& text, const std::vector<std::string>& overrides = {}) {
  return read_config<RunConfig>(parse_yaml(kModel + text, "run.yaml"), overrides);
}

std::vector<std::string> mistakes_in(const std::string& text,
                                     const std::vector<std::string>& overrides = {}) {
  return mistakes_of([&] { read(text, overrides); });
}

TEST(RunConfig, LpipsNeedsItsWeights) {
  const std::string ct = "objective: ct\nct:\n  distance: lpips\n";
  EXPECT_THAT(mistakes_in(ct + "lpips: {weights: w}\n"), ElementsAre());
  EXPECT_THAT(mistakes_in(ct),
              ElementsAre(AllOf(StartsWith("run.yaml:5:13: ct.distance lpips needs lpips.weights"),
                                HasSubstr("scripts/export_lpips.py --vgg16"))));
  EXPECT_THAT(mistakes_in("objective: ict\n", {"ict.distance=lpips"}),
              ElementsAre(StartsWith("override 'ict.distance=lpips': ict.distance lpips needs")));
}

TEST(RunConfig, LpipsWeightsWithoutTheirDistanceAreAMistake) {
  EXPECT_THAT(mistakes_in("objective: ct\nlpips:\n  weights: w\n"),
              ElementsAre("run.yaml:5:12: lpips.weights is not used by ct.distance l2; remove it, or set the "
                          "distance to lpips"));
  EXPECT_THAT(mistakes_in("objective: edm\nlpips: {weights: w}\n"),
              ElementsAre("run.yaml:4:18: lpips.weights is not used by objective edm; remove it"));
  EXPECT_THAT(mistakes_in("objective: ct\nct: {distance: lpips}\nlpips: {weights: w}\n",
                          {"ct.distance=l2", "lpips=null"}),
              ElementsAre());
}

}  // namespace
}  // namespace cm
