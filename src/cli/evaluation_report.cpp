#include "evaluation_report.h"

#include <algorithm>
#include <iomanip>
#include <map>
#include <set>
#include <sstream>

#include "cm/base/text.h"
#include "cm/metrics/evaluate.h"
#include "cm/metrics/report.h"

namespace cm {
namespace {

constexpr int kDigits = 6;
constexpr int kGap = 2;

using Row = std::vector<std::string>;

std::string rounded(double value) {
  return concat(std::setprecision(kDigits), value);
}

// "0.999", or "0" for the trained weights, as --ema takes it, or "std 0.1" as --ema-std.
std::string average_of(const Json& samples) {
  if (samples.contains("ema_std")) return concat("std ", shortest(samples.at("ema_std").get<double>()));
  const Json rate = samples.value("ema", Json(nullptr));
  return rate.is_null() ? "0" : shortest(rate.get<double>());
}

std::string run_of(const Json& samples) {
  return samples.contains("run") ? samples.at("run").get<std::string>()
                                 : samples.at("path").get<std::string>();
}

Row row_of(const Json& report, const std::vector<std::string>& scores) {
  const Json& samples = report.at("samples");
  const bool trained = samples.contains("step");
  Row row = {run_of(samples), trained ? concat(samples.at("step")) : "-",
             trained ? average_of(samples) : "-"};
  for (const auto& score : scores) row.push_back(rounded(report.at(score).get<double>()));
  return row;
}

// The first column to the left, all others, which are numbers, to the right.
std::string aligned(const std::vector<Row>& rows) {
  std::vector<size_t> widths(rows.front().size(), 0);
  for (const Row& row : rows) {
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  std::ostringstream table;
  for (const Row& row : rows) {
    table << std::left << std::setw(static_cast<int>(widths[0])) << row[0] << std::right;
    for (size_t i = 1; i < row.size(); ++i) table << std::setw(static_cast<int>(widths[i]) + kGap) << row[i];
    table << '\n';
  }
  return table.str();
}

bool several_runs(const std::vector<Json>& reports) {
  std::set<std::string> runs;
  for (const Json& report : reports) runs.insert(run_of(report.at("samples")));
  return runs.size() > 1;
}

// In ASCII, as charts have it.
std::string weights_of(const Json& samples) {
  const std::string average = average_of(samples);
  return average == "0" ? "trained weights" : "ema " + average;
}

bool differ_in_std(const std::vector<Json>& reports) {
  std::set<Json> stds;
  for (const Json& report : reports) stds.insert(report.at("samples").value("ema_std", Json(nullptr)));
  return stds.size() > 1 && !stds.contains(nullptr);
}

}  // namespace

std::string table_of(const std::vector<Json>& reports) {
  const auto scores = scores_in(reports.front());
  Row head = {"checkpoint", "step", "ema"};
  head.insert(head.end(), scores.begin(), scores.end());
  std::vector<Row> rows = {head};
  for (const Json& report : reports) rows.push_back(row_of(report, scores));
  return aligned(rows);
}

Chart chart_of(const std::vector<Json>& reports, const std::string& score) {
  const bool over_std = differ_in_std(reports);
  const bool named = several_runs(reports);
  std::map<std::string, std::map<double, double>> curves;  // by label: value by place
  for (const Json& report : reports) {
    const Json& samples = report.at("samples");
    const std::string what = over_std ? concat("step ", samples.at("step")) : weights_of(samples);
    const std::string label = named ? concat(run_of(samples), ", ", what) : what;
    const double place = samples.at(over_std ? "ema_std" : "step").get<double>();
    curves[label][place] = report.at(score).get<double>();
  }
  const Json& first = reports.front();
  Chart chart{.title = concat(score, " of ", first.at("samples").at("count"), " samples, ",
                              first.at("features").at("name").get<std::string>()),
              .x_label = over_std ? "sigma_rel" : "training step",
              .y_label = score,
              .x_axis = Axis::linear,
              .curves = {}};
  for (const auto& [label, values] : curves) {
    Curve curve{.label = label, .x = {}, .y = {}};
    for (const auto& [place, value] : values) {
      if (over_std && (!curve.marked || is_better(score, value, curve.y[*curve.marked])))
        curve.marked = curve.y.size();
      curve.x.push_back(place);
      curve.y.push_back(value);
    }
    chart.curves.push_back(curve);
  }
  return chart;
}

}  // namespace cm
