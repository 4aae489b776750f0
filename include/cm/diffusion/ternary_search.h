// Greedy ternary search of the time points of multistep sampling (CM §3 and appendix).
//
// Points are indices on a grid of noise levels: 0 is σ_max, grid − 1 is σ_min, which ends the walk and is no
// point. The first point is 0. Each next one is searched with those before it fixed, between the last of them
// and the grid's end, on the assumption that the score has one optimum there:
//
//   while right − left ≥ 3:   m₁ = left + ⌊(right − left)/3⌋,  m₂ = right − ⌈(right − left)/3⌉
//                             right ← m₂ where m₁ scores better, left ← m₁ otherwise
//   and then the index between left and right.
//
// Brackets and thirds are those of the official release's ternary_search.py. The bracket's ends, which it
// scores too, are no points or have been scored as thirds. The choice is the best of all that were tried (of
// equal ones that of the largest σ), so that noise in the scores can't lead to one that is worse than
// another.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <vector>

namespace cm {

// What is known of sampling along `points`: indices that increase from 0.
using PointsScore = std::function<double(const std::vector<int64_t>& points)>;

// Whether score a is better than score b.
using BetterScore = std::function<bool(double a, double b)>;

struct Bracket {
  int64_t left = 0;  // both exclusive
  int64_t right = 0;
  bool operator==(const Bracket&) const = default;
};

// The search of one point.
struct SearchedPoint {
  std::vector<int64_t> before;      // the points before it
  std::vector<Bracket> brackets;    // from the first to the last
  std::map<int64_t, double> tried;  // score by index
  int64_t chosen = 0;

  double score() const { return tried.at(chosen); }
  // Those before it and the one that was chosen.
  std::vector<int64_t> points() const {
    std::vector<int64_t> all = before;
    all.push_back(chosen);
    return all;
  }
};

// The searches of points 2 … `steps` on a grid of `grid` levels, 2 ≤ steps < grid. Asks for the score of the
// same points once. Where an optimum lies so near to the grid's end that the later points would have no room,
// the search goes on in a bracket that leaves it.
std::vector<SearchedPoint> search_time_points(const PointsScore& score, const BetterScore& better,
                                              int64_t steps, int64_t grid);

// The most indices that the search of a point tries in a bracket of this width (right − left).
int64_t most_trials(int64_t width);

}  // namespace cm
