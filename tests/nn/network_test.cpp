#include "cm/nn/network.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cm/base/error.h"
#include "cm/nn/layers.h"
#include "support/closeness.h"
#include "support/message_of.h"

namespace cm {
namespace {

using test::message_of;
using testing::AllOf;
using testing::HasSubstr;

TEST(Network, ParametersAreCounted) {
  Initializer initializer(1);
  EXPECT_EQ(parameter_count(*Linear(initializer, 3, 5)), 3 * 5 + 5);
}

TEST(Network, WeightsAreCopiedByName) {
  Initializer initializer(1);
  const Linear from(initializer, 3, 5);
  Linear to(initializer, 3, 5);
  EXPECT_FALSE(torch::equal(from->weight, to->weight));
  copy_weights(*from, *to, "start weights");
  EXPECT_TRUE(torch::equal(from->weight, to->weight));
  EXPECT_FALSE(from->weight.is_alias_of(to->weight));
  EXPECT_TRUE(to->weight.requires_grad());
}

TEST(Network, AMismatchNamesTheTensors) {
  Initializer initializer(1);
  Linear to(initializer, 3, 5);
  const Tensor before = to->weight.detach().clone();
  const std::map<std::string, Tensor> from = {{"weight", torch::ones({5, 4})}, {"scale", torch::ones({2})}};
  EXPECT_THAT(message_of<InputError>([&] { copy_weights(from, *to, "teacher.safetensors"); }),
              AllOf(HasSubstr("teacher.safetensors: weights of another network, 3 tensors differ"),
                    HasSubstr("weight is [5, 4], the network needs [5, 3]"), HasSubstr("bias [5] is missing"),
                    HasSubstr("scale [2] is not in the network")));
  EXPECT_TRUE(torch::equal(to->weight, before));
}

TEST(Network, ALongListOfMismatchesIsCut) {
  Initializer initializer(1);
  Linear to(initializer, 3, 5);
  std::map<std::string, Tensor> from;
  for (const auto* name : {"a", "b", "c", "d"}) from[name] = torch::ones({1});
  const auto message = message_of<InputError>([&] { copy_weights(from, *to, "x"); });
  EXPECT_THAT(message, AllOf(HasSubstr("6 tensors differ"), HasSubstr("; …")));
  EXPECT_THAT(message, testing::Not(HasSubstr("d [1]")));
}

}  // namespace
}  // namespace cm
