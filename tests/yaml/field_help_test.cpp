#include "cm/yaml/field_help.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "yaml/options_example.h"

namespace cm {
namespace {

TEST(FieldHelp, DescribesEveryKey) {
  EXPECT_EQ(describe_fields<example::RunOptions>(),
            "name: a string (default run)\n"
            "    what the run is called\n"
            "train: a section of keys\n"
            "    the loop\n"
            "train.steps: an integer, at least 1 (default 1000)\n"
            "    number of updates\n"
            "train.batch_size: an integer, at least 1 (default 64)\n"
            "    images an update\n"
            "train.deterministic: true or false (default false)\n"
            "    bit-identical on CUDA\n"
            "optimizer: a section of keys\n"
            "    Adam\n"
            "optimizer.lr: a number, above 0 (default 1e-4)\n"
            "    learning rate\n"
            "optimizer.betas: a list of numbers, in [0, 1) (default [0.9, 0.999])\n"
            "    decay of the two moments\n"
            "cd: a section of keys or null (default null)\n"
            "    consistency distillation\n"
            "cd.distance: one of {l1, l2, pseudo_huber} (default l2)\n"
            "    between student and target\n"
            "cd.teacher: a string (default \"\")\n"
            "    checkpoint to distil\n"
            "image_size: an integer or null, at least 1 (default null)\n"
            "    side in pixels\n"
            "channel_mult: a list of integers, at least 1 (default [1, 2])\n"
            "    width of each level\n"
            "tags: a list of strings (default [])\n"
            "    words to find the run by\n");
}

TEST(FieldHelp, TakesTheDefaultsFromAStruct) {
  example::RunOptions defaults;
  defaults.train.steps = 7;
  defaults.cd = example::Distillation{example::Distance::l1, "x"};
  const auto default_of = [found = field_help(defaults)](const std::string& key) {
    const auto field = std::find_if(found.begin(), found.end(), [&](const auto& f) { return f.key == key; });
    return field == found.end() ? "no such key" : field->default_value;
  };
  EXPECT_EQ(default_of("train.steps"), "7");
  EXPECT_EQ(default_of("cd"), "");
  EXPECT_EQ(default_of("cd.distance"), "l1");
}

}  // namespace
}  // namespace cm
