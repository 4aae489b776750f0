#include "src/metrics/inception_score.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "cm/base/error.h"
#include "support/message_of.h"

namespace cm {
namespace {

using test::message_of;
using testing::HasSubstr;

TEST(InceptionScore, OfConfidentEvenPredictionsIsTheNumberOfClasses) {
  EXPECT_NEAR(inception_score(torch::eye(8).repeat({5, 1})), 8, 1e-12);
}

TEST(InceptionScore, OfEqualPredictionsIsOne) {
  EXPECT_NEAR(inception_score(torch::full({30, 4}, 0.25)), 1, 1e-12);
}

TEST(InceptionScore, AveragesOverChunksThatMayBeShort) {
  // Chunks: two classes evenly (2), one class alone (1), one row (1).
  const Tensor p = torch::eye(2).index_select(0, torch::tensor({0, 1, 0, 0, 1}));
  EXPECT_NEAR(inception_score(p, 2), (2 + 1 + 1) / 3.0, 1e-12);
}

TEST(InceptionScore, RefusesWhatIsNoDistribution) {
  EXPECT_THAT(message_of<InputError>([] { inception_score(torch::ones({3, 4})); }), HasSubstr("sum to 1"));
  EXPECT_THAT(message_of<InputError>([] { inception_score(torch::full({3, 4}, NAN)); }), HasSubstr("NaN"));
  EXPECT_THAT(message_of<InputError>([] {
                inception_score(torch::tensor({{1.5, -0.5}}));
              }),
              HasSubstr("negative"));
  EXPECT_THAT(message_of<InputError>([] {
                inception_score(torch::tensor({{0.5, 0.502}}));
              }),
              HasSubstr("sum to 1"));
  EXPECT_NEAR(inception_score(torch::tensor({{0.5, 0.5005}})), 1, 1e-3);  // rounded to half precision
  EXPECT_THAT(message_of<InputError>([] { inception_score(torch::ones({0, 4})); }), HasSubstr("got 0"));
}

}  // namespace
}  // namespace cm
