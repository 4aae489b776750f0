#include "cm/cli/edit_options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cm/base/error.h"
#include "support/message_of.h"
#include "support/mistakes_of.h"

namespace cm {
namespace {

using test::message_of;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::StartsWith;

EditOptions request_for(EditTask task) {
  EditOptions options;
  options.task = task;
  return options;
}

// The least that every task needs.
EditOptions enough_for(EditTask task) {
  EditOptions options = request_for(task);
  if (task != EditTask::interpolate) options.input = "x.png";
  if (task == EditTask::inpaint) options.box = {0, 0, 2, 2};
  if (task == EditTask::superres) options.factor = 2;
  if (task == EditTask::stroke || task == EditTask::denoise) options.sigma = 1;
  if (task == EditTask::interpolate) options.seeds = {1, 2};
  return options;
}

std::vector<std::string> mistakes(const EditOptions& options) {
  return mistakes_of([&] { check_options(options); });
}

TEST(EditOptions, EveryTaskHasEnough) {
  for (const auto& entry : EnumNames<EditTask>::names) {
    EXPECT_THAT(mistakes(enough_for(entry.value)), IsEmpty()) << entry.name;
  }
}

TEST(EditOptions, WhatATaskNeedsIsSaid) {
  const auto bare = [](EditTask task) {
    EditOptions options = request_for(task);
    if (task != EditTask::interpolate) options.input = "x.png";
    return mistakes(options);
  };
  EXPECT_THAT(bare(EditTask::inpaint), ElementsAre(HasSubstr("either --mask FILE (white = known) or --box")));
  EXPECT_THAT(bare(EditTask::colorize), IsEmpty());
  EXPECT_THAT(bare(EditTask::superres), ElementsAre(HasSubstr("superres needs --factor P")));
  EXPECT_THAT(bare(EditTask::stroke), ElementsAre(HasSubstr("stroke needs --sigma S")));
  EXPECT_THAT(bare(EditTask::denoise), ElementsAre(HasSubstr("denoise needs --sigma S")));
  EXPECT_THAT(bare(EditTask::interpolate), ElementsAre(HasSubstr("interpolate needs either --seeds A,B")));
  EXPECT_THAT(mistakes(request_for(EditTask::superres)),
              ElementsAre("superres needs --input FILE|DIR, the pictures to edit",
                          HasSubstr("superres needs --factor P")));
}

TEST(EditOptions, OptionsOfOtherTasksAreRefused) {
  EditOptions colorize = enough_for(EditTask::colorize);
  colorize.factor = 2;
  colorize.sigma = 1;
  EXPECT_THAT(mistakes(colorize), ElementsAre("--factor is an option of superres, not of colorize",
                                              "--sigma is an option of stroke, denoise, not of colorize"));
  EditOptions inpaint = enough_for(EditTask::inpaint);
  inpaint.sampler = SamplerKind::onestep;
  EXPECT_THAT(mistakes(inpaint),
              ElementsAre("--sampler is an option of stroke, interpolate, not of inpaint"));
  EditOptions denoise = enough_for(EditTask::denoise);
  denoise.steps = 2;
  EXPECT_THAT(mistakes(denoise), ElementsAre(StartsWith("--steps is an option of inpaint, colorize")));
  EditOptions interpolate = enough_for(EditTask::interpolate);
  interpolate.input = "x.png";
  interpolate.common.seed = 3;
  EXPECT_THAT(mistakes(interpolate), ElementsAre(StartsWith("--input is an option of inpaint, colorize"),
                                                 StartsWith("--seed is an option of inpaint, colorize")));
}

TEST(EditOptions, WhatExcludesOneAnotherIsRefused) {
  EditOptions inpaint = enough_for(EditTask::inpaint);
  inpaint.mask = "m.png";
  inpaint.steps = 2;
  inpaint.sigmas = {80, 1};
  EXPECT_THAT(mistakes(inpaint), ElementsAre(HasSubstr("either --mask FILE (white = known) or --box"),
                                             "--steps and --sigmas exclude one another; give one"));
  EditOptions interpolate = enough_for(EditTask::interpolate);
  interpolate.noise = "n.safetensors";
  EXPECT_THAT(mistakes(interpolate), ElementsAre(HasSubstr("either --seeds A,B or --noise FILE")));
  EditOptions denoise = enough_for(EditTask::denoise);
  denoise.noise = "n.safetensors";
  EXPECT_THAT(mistakes(denoise), ElementsAre(HasSubstr("--noise has no use without --add-noise")));
  denoise.add_noise = true;
  EXPECT_THAT(mistakes(denoise), IsEmpty());
}

TEST(EditOptions, WholeNumbers) {
  EXPECT_THAT(whole_numbers("--box", "1,2,30,4", 4), ElementsAre(1, 2, 30, 4));
  EXPECT_THAT(whole_numbers("--seeds", "0,18446744073709551615", 2), ElementsAre(0, 18446744073709551615U));
  for (const char* text :
       {"1", "1,2,3", "1,", ",1", "1,-2", "1,2.5", "1, 2", "1,x", "", "1,18446744073709551616"}) {
    EXPECT_THAT(message_of<InputError>([&] { whole_numbers("--seeds", text, 2); }),
                HasSubstr("--seeds takes 2 whole numbers with commas between, got '"))
        << text;
  }
}

}  // namespace
}  // namespace cm
