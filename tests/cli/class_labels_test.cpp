#include "src/cli/class_labels.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cm/base/error.h"
#include "support/message_of.h"

namespace cm {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::vector<int64_t> labels_for(const std::optional<std::string>& classes, int64_t count) {
  const Tensor labels = class_labels(classes, 10, count);
  return {labels.data_ptr<int64_t>(), labels.data_ptr<int64_t>() + labels.numel()};
}

TEST(ClassLabels, RepeatTheAskedClassesInOrder) {
  EXPECT_THAT(labels_for("3", 3), ElementsAre(3, 3, 3));
  EXPECT_THAT(labels_for("3,5,0", 5), ElementsAre(3, 5, 0, 3, 5));
  EXPECT_THAT(labels_for("all", 12), ElementsAre(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1));
  EXPECT_EQ(labels_for(std::nullopt, 12), labels_for("all", 12));
}

TEST(ClassLabels, AModelWithoutClassesHasNone) {
  EXPECT_FALSE(class_labels(std::nullopt, 0, 3).defined());
  EXPECT_THAT(test::message_of<InputError>([] { class_labels("3", 0, 3); }),
              HasSubstr("--class: this model was trained without classes"));
}

TEST(ClassLabels, OtherWordsAreMistakes) {
  for (const std::string wrong : {"", ",", "3,", ",3", "10", "-1", "3.5", "3;5", "three", " 3", "ALL"}) {
    EXPECT_THAT(test::message_of<InputError>([&] { class_labels(wrong, 10, 3); }),
                HasSubstr("--class must be 'all' or classes in 0 … 9, as 3 or 3,5, got '"))
        << wrong;
  }
}

}  // namespace
}  // namespace cm
