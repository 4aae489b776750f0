// Every objective against the truth: on a Gaussian mixture in the plane, whose consistency function is known
// exactly, each is trained in the way of the real executables and its learned function compared with that.
// Prints a table and writes truths.json, one row an objective; rows that are there are not computed again.
//
//   build/bin/cm-truths --out runs/truths [--quick]
#include <CLI/CLI.hpp>
#include <algorithm>
#include <filesystem>
#include <iomanip>
#include <iostream>

#include "cm/base/files.h"
#include "cm/base/limits.h"
#include "cm/base/log.h"
#include "cm/cli/command_line.h"
#include "cm/cli/number_option.h"
#include "truth_run.h"

namespace {

namespace fs = std::filesystem;
using cm::Json;

constexpr int64_t kSteps = 8'000;
constexpr int64_t kQuickSteps = 800;
constexpr int64_t kTrajectories = 4'096;
constexpr int64_t kQuickTrajectories = 1'024;
constexpr int kNameWidth = 32;

struct TruthsArguments {
  std::string out;
  bool quick = false;
  std::optional<int64_t> steps;
  std::vector<std::string> only;
  cm::CommonOptions common;
};

std::vector<cm::truths::Case> chosen(const std::vector<cm::truths::Case>& all,
                                     const std::vector<std::string>& only) {
  if (only.empty()) return all;
  std::vector<std::string> names;
  for (const auto& one : all) names.push_back(one.name);
  std::vector<cm::truths::Case> found;
  for (const auto& name : only) {
    const auto at = std::ranges::find(names, name);
    if (at == names.end()) {
      throw cm::InputError(cm::concat("--only must name some of ", cm::join(names), ", got '", name, "'",
                                      cm::did_you_mean(name, names)));
    }
    found.push_back(all.at(static_cast<size_t>(at - names.begin())));
  }
  return found;
}

Json rows_of(const fs::path& file) {
  if (!fs::exists(file)) return Json::array();
  const Json rows = cm::parse_json(cm::read_file(file));
  if (!rows.is_array()) {
    throw cm::InputError(
        cm::concat(file.string(), ": is not a list of rows; remove it, or choose another --out"));
  }
  return rows;
}

// The row of this name with these settings and points; null when there is none.
Json known_row(const Json& rows, const std::string& name, const Json& settings, int64_t trajectories) {
  for (const auto& row : rows) {
    if (row.value("name", "") == name && row.value("settings", Json()) == settings &&
        row.value("trajectories", int64_t{0}) == trajectories) {
      return row;
    }
  }
  return nullptr;
}

void put(Json& rows, const Json& row) {
  for (auto& old : rows) {
    if (old.value("name", "") == row.at("name").get<std::string>()) {
      old = row;
      return;
    }
  }
  rows.push_back(row);
}

std::string cell(const Json& value) {
  if (value.is_null()) return "-";
  std::ostringstream out;
  out << std::fixed << std::setprecision(4) << value.get<double>();
  return out.str();
}

// Rows that an earlier build wrote have none.
Json map_rms(const Json& row) {
  const Json map = row.value("map", Json(nullptr));
  return map.is_null() ? map : map.at("rms");
}

void print_heading(const std::vector<double>& levels) {
  std::cout << std::left << std::setw(kNameWidth) << "RMS error at sigma" << std::right;
  for (const double level : levels) std::cout << std::setw(10) << std::setprecision(3) << level;
  std::cout << std::setw(10) << "grid" << std::setw(10) << "along" << std::setw(10) << "SW 1" << std::setw(10)
            << "SW 2" << std::setw(10) << "map" << std::setw(10) << "seconds" << '\n';
}

void print_row(const Json& row, size_t levels) {
  std::cout << std::left << std::setw(kNameWidth) << row.at("name").get<std::string>() << std::right;
  for (size_t i = 0; i < levels; ++i) {
    std::cout << std::setw(10)
              << (i < row.at("rms").size() ? cell(row.at("rms").at(i).at("rms")) : std::string("-"));
  }
  for (const auto& value :
       {row.at("grid_rms"), row.at("self_consistency"), row.at("sliced_wasserstein").at("one_step"),
        row.at("sliced_wasserstein").at("two_steps"), map_rms(row)}) {
    std::cout << std::setw(10) << cell(value);
  }
  std::cout << std::setw(10) << std::fixed << std::setprecision(1) << row.at("seconds").get<double>()
            << std::endl;
}

int run(const TruthsArguments& arguments) {
  const auto seed = static_cast<int64_t>(arguments.common.seed.value_or(0));
  const int64_t trajectories = arguments.quick ? kQuickTrajectories : kTrajectories;
  const auto all = cm::truths::cases(arguments.steps.value_or(arguments.quick ? kQuickSteps : kSteps), seed);
  const auto cases = chosen(all, arguments.only);
  const fs::path file = fs::path(arguments.out) / "truths.json";
  fs::create_directories(arguments.out);
  Json rows = rows_of(file);
  const auto reference = cm::truths::make_reference(cm::truths::mixture(), all.front().config.sigma,
                                                    trajectories, static_cast<uint64_t>(seed) + 1);
  cm::truths::Study study(all, reference);
  print_heading(reference.levels);
  for (const auto& one : cases) {
    Json row = known_row(rows, one.name, cm::truths::settings_of(one), trajectories);
    if (row.is_null()) {
      row = study.row(one);
      row["trajectories"] = trajectories;
      put(rows, row);
      cm::write_file_atomically(file, cm::json_text(rows, 1) + "\n");
    }
    print_row(row, reference.levels.size());
  }
  std::cout
      << "grid: the exact denoiser's own walk along the same grid; along: the spread of f along a\n"
         "trajectory; SW: sliced Wasserstein distance of samples in one and two steps to exact ones; map:\n"
         "RMS error of a flow map from each level to each lower one, in units of the data\n";
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app(
      "Trains every objective on a Gaussian mixture and compares what it learns with the mixture's exact "
      "consistency function.",
      "cm-truths");
  TruthsArguments arguments;
  app.add_option("--out", arguments.out, "folder for truths.json; rows that it has are kept")->required();
  app.add_flag("--quick", arguments.quick, "a tenth of the training steps, and fewer trajectories");
  cm::add_number_option(
      app, "--steps", arguments.steps,
      cm::concat("training steps of each (default: ", kSteps, ", --quick: ", kQuickSteps, ")"),
      cm::within(1, cm::kMostSteps));
  app.add_option("--only", arguments.only, "names of rows, comma-separated; default: all")->delimiter(',');
  cm::add_common_options(app, arguments.common);
  return cm::run_command(app, argc, argv, [&] { return run(arguments); });
}
