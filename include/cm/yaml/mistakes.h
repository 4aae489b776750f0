// The mistakes of a config, each with the place where it was made, reported all at once.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

namespace cm {

// Where something in a config was said.
struct Origin {
  std::string where;                  // "run.yaml", "run.yaml:8:11" or "override 'train.steps=ten'"
  std::array<int64_t, 3> order = {};  // files before overrides, then line and column, or index

  // The file as a whole: where something is missing.
  static Origin file(const std::string& name) { return {name, {}}; }
  // `line` and `column` count from 1.
  static Origin place(const std::string& name, int64_t line, int64_t column);
  // The `index`-th override of the command line, as it was typed.
  static Origin override_of(const std::string& typed, int64_t index);

  int64_t line() const { return order[1]; }
};

class Mistakes {
 public:
  void add(const Origin& origin, const std::string& sentence) { mistakes_.push_back({origin, sentence}); }
  size_t count() const { return mistakes_.size(); }

  // InputError with one line a mistake ("run.yaml:8:11: …"), in the order of the file and then of the
  // overrides.
  void throw_if_any() const;

 private:
  struct Mistake {
    Origin origin;
    std::string sentence;
  };
  std::vector<Mistake> mistakes_;
};

}  // namespace cm
