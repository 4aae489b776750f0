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

// Adds to x whatever it is told.
class Listener : public Network {
 public:
  Listener(bool second_time, bool guidance) : second_time_(second_time), guidance_(guidance) {}

 protected:
  Tensor compute(const Tensor& x, const Conditioning& told, const Tensor& /*dropout_keys*/) override {
    Tensor sum = x + told.time;
    if (told.second_time.defined()) sum = sum + told.second_time;
    return told.guidance.defined() ? sum + told.guidance : sum;
  }
  bool takes_second_time() const override { return second_time_; }
  bool takes_guidance() const override { return guidance_; }

 private:
  bool second_time_;
  bool guidance_;
};

TEST(Network, WhatItDoesNotTakeIsRefusedAndWhatItTakesIsNeeded) {
  const Tensor one = torch::ones({1});
  const Conditioning two_times{.time = one, .second_time = 2 * one};
  for (const bool second_time : {true, false}) {
    for (const bool guidance : {true, false}) {
      Listener network(second_time, guidance);
      if (second_time) {
        EXPECT_EQ(network.forward(one, two_times).item<double>(), 4);
        EXPECT_THAT(message_of<c10::Error>([&] { network.forward(one, {one}); }),
                    HasSubstr("this network takes two times"));
      } else {
        EXPECT_EQ(network.forward(one, {one}).item<double>(), 2);
        EXPECT_THAT(message_of<c10::Error>([&] { network.forward(one, two_times); }),
                    HasSubstr("this network takes one time only"));
      }
      Conditioning guided{.time = one, .guidance = 4 * one};
      if (second_time) guided.second_time = torch::zeros({1});
      if (guidance) {
        EXPECT_EQ(network.forward(one, guided).item<double>(), 6);
      } else {
        EXPECT_THAT(message_of<c10::Error>([&] { network.forward(one, guided); }),
                    HasSubstr("this network takes no guidance"));
      }
    }
  }
}

}  // namespace
}  // namespace cm
