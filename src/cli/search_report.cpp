#include "search_report.h"

#include <iomanip>
#include <sstream>

#include "cm/base/text.h"

namespace cm {
namespace {

constexpr int kColumn = 12;
constexpr int kMetricColumn = 16;  // the longest name is class_accuracy
constexpr int kSearchDigits = 5;

std::vector<double> sigmas_of(const SearchReport& report, const std::vector<int64_t>& points) {
  std::vector<double> sigmas;
  for (const int64_t point : points) sigmas.push_back(report.levels.at(static_cast<size_t>(point)));
  return sigmas;
}

// For people: five digits.
std::string rounded(double value) {
  return concat(std::setprecision(kSearchDigits), value);
}

// "step 2, after 80"
std::string step_of(const SearchReport& report, const SearchedPoint& search) {
  std::vector<std::string> before;
  for (const double sigma : sigmas_of(report, search.before)) before.push_back(rounded(sigma));
  return concat("step ", search.before.size() + 1, ", after ", join(before));
}

Curve curve_of(const SearchReport& report, const SearchedPoint& search) {
  Curve curve;
  for (auto trial = search.tried.rbegin(); trial != search.tried.rend(); ++trial) {  // σ ascending
    if (trial->first == search.chosen) curve.marked = curve.x.size();
    curve.x.push_back(report.levels.at(static_cast<size_t>(trial->first)));
    curve.y.push_back(trial->second);
  }
  curve.label = concat("step ", search.before.size() + 1, ": ", rounded(search.score()), " at sigma ",
                       rounded(curve.x.at(*curve.marked)));
  return curve;
}

}  // namespace

std::vector<double> found_sigmas(const SearchReport& report) {
  return sigmas_of(report, report.searches.back().points());
}

std::string table_of(const SearchReport& report) {
  std::ostringstream table;
  for (const SearchedPoint& search : report.searches) {
    table << step_of(report, search) << '\n'
          << std::setw(kColumn) << "index" << std::setw(kColumn) << "sigma" << std::setw(kMetricColumn)
          << report.metric << '\n';
    for (const auto& [index, score] : search.tried) {
      table << std::setw(kColumn) << index << std::setw(kColumn)
            << rounded(report.levels.at(static_cast<size_t>(index))) << std::setw(kMetricColumn)
            << rounded(score) << (index == search.chosen ? " *" : "") << '\n';
    }
  }
  return table.str();
}

Chart chart_of(const SearchReport& report) {
  Chart chart{.title = concat(report.metric, " of ", report.basis),
              .x_label = "sigma of the step's time point",
              .y_label = report.metric,
              .curves = {}};
  for (const SearchedPoint& search : report.searches) chart.curves.push_back(curve_of(report, search));
  return chart;
}

std::string list_of(const std::vector<double>& sigmas) {
  std::vector<std::string> words;
  for (const double sigma : sigmas) words.push_back(shortest(sigma));
  return join(words, ",");
}

}  // namespace cm
