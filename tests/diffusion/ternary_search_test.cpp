#include "cm/diffusion/ternary_search.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "cm/base/error.h"
#include "cm/base/text.h"
#include "support/message_of.h"

namespace cm {
namespace {

using test::message_of;
using testing::ElementsAre;
using testing::HasSubstr;

using Points = std::vector<int64_t>;

const BetterScore kLower = [](double a, double b) { return a < b; };
const BetterScore kHigher = [](double a, double b) { return a > b; };

// Falls to its lowest value, 0 at `optimum`, and rises from there; no two values are equal.
double valley(int64_t index, int64_t optimum) {
  const auto distance = static_cast<double>(std::abs(index - optimum));
  return index > optimum ? distance + 0.25 : distance;
}

PointsScore valley_at(int64_t optimum) {
  return [optimum](const Points& points) { return valley(points.back(), optimum); };
}

SearchedPoint search_second(const PointsScore& score, int64_t grid, const BetterScore& better = kLower) {
  return search_time_points(score, better, 2, grid).front();
}

// "0–39 13–39 …"
std::string brackets_of(const SearchedPoint& search) {
  std::vector<std::string> words;
  for (const Bracket& bracket : search.brackets) words.push_back(concat(bracket.left, "–", bracket.right));
  return join(words, " ");
}

TEST(TernarySearch, FindsEveryOptimumOfAUnimodalScore) {
  for (const int64_t grid : {3, 4, 5, 6, 7, 18, 40, 151}) {
    for (int64_t optimum = 1; optimum < grid - 1; ++optimum) {
      const SearchedPoint found = search_second(valley_at(optimum), grid);
      EXPECT_EQ(found.chosen, optimum) << "on " << grid;
      EXPECT_EQ(found.score(), 0);
      EXPECT_EQ(
          search_second([&](const Points& p) { return -valley(p.back(), optimum); }, grid, kHigher).chosen,
          optimum);
    }
  }
}

TEST(TernarySearch, BracketsAreTheReleases) {
  // Printed by its ternary_search() for scores with these optima.
  EXPECT_EQ(brackets_of(search_second(valley_at(22), 40)),
            "0–39 13–39 13–30 18–30 18–26 20–26 20–24 21–24 21–23");
  EXPECT_EQ(brackets_of(search_second(valley_at(1), 40)), "0–39 0–26 0–17 0–11 0–7 0–4 0–2");
  EXPECT_EQ(brackets_of(search_second(valley_at(106), 201)),
            "0–200 66–200 66–155 66–125 85–125 98–125 98–116 98–110 102–110 104–110 104–108 105–108 105–107");
}

TEST(TernarySearch, TriesTheReleasesThirdsEachOnce) {
  std::vector<int64_t> asked;
  const PointsScore score = [&](const Points& points) {
    asked.push_back(points.back());
    return valley(points.back(), 22);
  };
  search_second(score, 40);
  EXPECT_THAT(asked, ElementsAre(13, 26, 21, 30, 18, 24, 22, 20, 23));
}

TEST(TernarySearch, FixesTheEarlierPointsWhileItSearchesTheNext) {
  // The n-th point is best at 9 n, whatever the others are.
  std::set<Points> asked;
  const PointsScore score = [&](const Points& points) {
    EXPECT_TRUE(asked.insert(points).second) << "asked twice";
    EXPECT_TRUE(std::is_sorted(points.begin(), points.end()));
    return valley(points.back(), 9 * (static_cast<int64_t>(points.size()) - 1));
  };
  const auto searches = search_time_points(score, kLower, 4, 40);
  ASSERT_EQ(searches.size(), 3U);
  EXPECT_THAT(searches[0].before, ElementsAre(0));
  EXPECT_THAT(searches[1].before, ElementsAre(0, 9));
  EXPECT_THAT(searches[2].before, ElementsAre(0, 9, 18));
  EXPECT_EQ(searches[2].chosen, 27);
  EXPECT_EQ(searches[1].brackets.front(), (Bracket{9, 39}));
}

TEST(TernarySearch, LeavesRoomForTheLaterPoints) {
  for (int64_t steps = 2; steps < 7; ++steps) {  // the optimum always lies at the end
    const auto searches = search_time_points(
        [](const Points& points) { return -static_cast<double>(points.back()); }, kLower, steps, 7);
    for (size_t i = 0; i < searches.size(); ++i) {
      EXPECT_EQ(searches[i].chosen, 7 - steps + static_cast<int64_t>(i)) << steps << " steps";
    }
  }
}

// The optimum is the point that the later one needs: the best of those before it is found.
TEST(TernarySearch, SearchesAgainWhereTheOptimumIsTheLaterPoints) {
  for (int64_t grid = 4; grid < 60; ++grid) {
    const auto first = search_time_points(valley_at(grid - 2), kLower, 3, grid).front();
    EXPECT_EQ(first.chosen, grid - 3) << grid;
    EXPECT_EQ(first.brackets.back().right, grid - 2) << grid;
  }
}

TEST(TernarySearch, WithNoiseNothingThatWasTriedIsBetterThanTheChoice) {
  for (int64_t seed = 0; seed < 200; ++seed) {
    const PointsScore noise = [seed](const Points& points) {
      return std::fmod(static_cast<double>((points.back() + 1) * (seed + 3) * 7919), 101);
    };
    const SearchedPoint found = search_second(noise, 40);
    for (const auto& [index, score] : found.tried) EXPECT_LE(found.score(), score);
    EXPECT_EQ(search_second(noise, 40).chosen, found.chosen);
    EXPECT_LE(static_cast<int64_t>(found.tried.size()), most_trials(39));
  }
}

TEST(TernarySearch, OfEqualScoresTheLargestSigmaIsChosen) {
  const SearchedPoint found = search_second([](const Points&) { return 1.0; }, 40);
  EXPECT_EQ(found.chosen, found.tried.begin()->first);
  EXPECT_EQ(found.chosen, 13);
}

TEST(TernarySearch, MostTrialsAreThoseOfTheLongestSearch) {
  EXPECT_EQ(most_trials(1), 0);
  EXPECT_EQ(most_trials(2), 1);
  EXPECT_EQ(most_trials(3), 2);
  EXPECT_EQ(most_trials(4), 3);
  for (int64_t grid = 3; grid < 60; ++grid) {
    size_t most = 0;
    for (int64_t optimum = 1; optimum < grid - 1; ++optimum) {
      for (const double steepness : {0.01, 1.0, 100.0}) {
        const PointsScore score = [&](const Points& points) {
          const auto from_optimum = static_cast<double>(points.back() - optimum);
          return from_optimum < 0 ? -from_optimum : steepness * from_optimum;
        };
        most = std::max(most, search_second(score, grid).tried.size());
      }
    }
    EXPECT_EQ(static_cast<int64_t>(most), most_trials(grid - 1)) << grid;
  }
  EXPECT_LT(most_trials(100'000), 60);
}

TEST(TernarySearch, RefusesWhatHasNothingToSearch) {
  const auto search = [](int64_t steps, int64_t grid) {
    return message_of<InputError>([=] { search_time_points(valley_at(1), kLower, steps, grid); });
  };
  EXPECT_THAT(search(1, 40), HasSubstr("2 ≤ steps < grid levels, got 1 steps on a grid of 40"));
  EXPECT_THAT(search(40, 40), HasSubstr("got 40 steps on a grid of 40"));
}

}  // namespace
}  // namespace cm
