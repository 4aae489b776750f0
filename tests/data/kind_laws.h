// What holds of every kind of data, for one example of it.
#pragma once

#include <gtest/gtest.h>

#include "src/data/kinds.h"

namespace cm::test {

// Of images at options.path, with their labels.
inline void expect_laws_of_a_kind(DataOptions options) {
  const DataKind& kind = row_of(options.kind);
  const auto dataset = open_dataset(options);
  ASSERT_GT(dataset->size(), 0);
  if (const auto shape = shape_of(options)) {
    EXPECT_EQ(shape->channels, dataset->channels());
    EXPECT_EQ(shape->image_size, dataset->image_size());
    EXPECT_EQ(shape->classes.value_or(dataset->classes()), dataset->classes());
    options.labels = false;
    EXPECT_EQ(shape_of(options)->classes, 0);
  }
  options.labels = false;
  EXPECT_EQ(open_dataset(options)->classes(), 0);
  if (!kind.recognises) return;

  const auto stored = open_stored_images(options.path);
  ASSERT_TRUE(stored);
  EXPECT_EQ(stored->size(), dataset->size());
  EXPECT_EQ(stored->classes(), dataset->classes());
  const Example one = dataset->get(dataset->size() - 1);
  const Example same = stored->get(stored->size() - 1, dataset->channels());
  EXPECT_EQ(same.label, one.label);
  EXPECT_EQ(stored->channels().has_value(), kind.open != nullptr);
  EXPECT_TRUE(kind.open == nullptr || torch::equal(same.pixels, one.pixels));
}

}  // namespace cm::test
