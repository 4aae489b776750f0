#include "cm/yaml/mistakes.h"

#include <gtest/gtest.h>

#include "support/mistakes_of.h"

namespace cm {
namespace {

TEST(Mistakes, NoneThrowsNothing) {
  EXPECT_NO_THROW(Mistakes().throw_if_any());
}

TEST(Mistakes, AreSortedByFileThenLineThenColumnThenOverride) {
  Mistakes mistakes;
  mistakes.add(Origin::override_of("b=1", 1), "six");
  mistakes.add(Origin::override_of("a=1", 0), "five");
  mistakes.add(Origin::place("run.yaml", 10, 1), "four");
  mistakes.add(Origin::place("run.yaml", 9, 12), "three");
  mistakes.add(Origin::place("run.yaml", 9, 2), "two");
  mistakes.add(Origin::file("run.yaml"), "one");
  EXPECT_EQ(mistakes.count(), 6U);
  EXPECT_EQ(mistakes_of([&] { mistakes.throw_if_any(); }),
            (std::vector<std::string>{"run.yaml: one", "run.yaml:9:2: two", "run.yaml:9:12: three",
                                      "run.yaml:10:1: four", "override 'a=1': five", "override 'b=1': six"}));
}

TEST(Mistakes, OfOnePlaceKeepTheirOrder) {
  Mistakes mistakes;
  mistakes.add(Origin::place("run.yaml", 1, 1), "b");
  mistakes.add(Origin::place("run.yaml", 1, 1), "a");
  EXPECT_EQ(mistakes_of([&] { mistakes.throw_if_any(); }),
            (std::vector<std::string>{"run.yaml:1:1: b", "run.yaml:1:1: a"}));
}

}  // namespace
}  // namespace cm
