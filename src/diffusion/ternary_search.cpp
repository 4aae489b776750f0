#include "cm/diffusion/ternary_search.h"

#include <algorithm>
#include <set>
#include <utility>

#include "cm/base/error.h"
#include "cm/base/text.h"

namespace cm {
namespace {

struct Thirds {
  int64_t m1 = 0;
  int64_t m2 = 0;
};

Thirds thirds_of(const Bracket& bracket) {
  const int64_t width = bracket.right - bracket.left;
  return {bracket.left + width / 3, bracket.right - (width + 2) / 3};
}

// The search of the point after `before`.
class PointSearch {
 public:
  PointSearch(const PointsScore& score, const BetterScore& better, const std::vector<int64_t>& before)
      : score_(score), better_(better) {
    search_.before = before;
  }

  void narrow(Bracket bracket) {
    search_.brackets.push_back(bracket);
    while (bracket.right - bracket.left >= 3) {
      const auto [m1, m2] = thirds_of(bracket);
      const double score1 = score_at(m1);
      const double score2 = score_at(m2);
      bracket = better_(score1, score2) ? Bracket{bracket.left, m2} : Bracket{m1, bracket.right};
      search_.brackets.push_back(bracket);
    }
    score_at(bracket.left + 1);
  }

  // Of the indices tried below `end`.
  int64_t best(int64_t end) const {
    auto best = search_.tried.begin();
    for (auto i = best; i != search_.tried.end() && i->first < end; ++i) {
      if (better_(i->second, best->second)) best = i;
    }
    return best->first;
  }

  SearchedPoint choose(int64_t index) {
    search_.chosen = index;
    return search_;
  }

 private:
  double score_at(int64_t index) {
    const auto known = search_.tried.find(index);
    if (known != search_.tried.end()) return known->second;
    std::vector<int64_t> points = search_.before;
    points.push_back(index);
    return search_.tried[index] = score_(points);
  }

  const PointsScore& score_;
  const BetterScore& better_;
  SearchedPoint search_;
};

// Over all outcomes of the comparisons. Brackets are moved so that they begin at 0; the indices that were
// tried and lie inside are all that is left of a search's past.
class MostTrials {
 public:
  int64_t operator()(int64_t width, const std::set<int64_t>& tried) {
    if (width < 3) return std::max<int64_t>(0, width - 1 - std::ssize(tried));
    const auto [place, is_new] = known_.try_emplace({width, tried}, 0);
    if (!is_new) return place->second;
    const auto [m1, m2] = thirds_of({0, width});
    std::set<int64_t> all = tried;
    all.insert({m1, m2});
    std::set<int64_t> left;
    std::set<int64_t> right;
    for (const int64_t index : all) {
      if (index < m2) left.insert(index);
      if (index > m1) right.insert(index - m1);
    }
    const int64_t now = std::ssize(all) - std::ssize(tried);
    return place->second = now + std::max((*this)(m2, left), (*this)(width - m1, right));
  }

 private:
  std::map<std::pair<int64_t, std::set<int64_t>>, int64_t> known_;
};

}  // namespace

std::vector<SearchedPoint> search_time_points(const PointsScore& score, const BetterScore& better,
                                              int64_t steps, int64_t grid) {
  if (steps < 2 || steps >= grid) {
    throw InputError(concat("a search of time points needs 2 ≤ steps < grid levels, got ", steps,
                            " steps on a grid of ", grid));
  }
  std::vector<int64_t> points = {0};
  std::vector<SearchedPoint> searches;
  for (int64_t later = steps - 2; later >= 0; --later) {
    const Bracket whole = {points.back(), grid - 1};
    const int64_t end = whole.right - later;  // so that `later` more points have room
    PointSearch search(score, better, points);
    search.narrow(whole);
    if (search.best(whole.right) >= end) search.narrow({whole.left, end});
    searches.push_back(search.choose(search.best(end)));
    points = searches.back().points();
  }
  return searches;
}

int64_t most_trials(int64_t width) {
  MostTrials most;
  return most(width, {});
}

}  // namespace cm
