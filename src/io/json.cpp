#include "cm/io/json.h"

namespace cm {
namespace {

constexpr int kDeepestJson = 64;
constexpr size_t kMostKeys = 10'000;  // of objects, counted so that one of this many keys may be there

struct BeyondLimits {};

// Compares as many keys as a parser of Json does, which looks for each new key among all before it.
class Limits {
 public:
  void see(int depth, Json::parse_event_t event) {
    using Event = Json::parse_event_t;
    if (depth > kDeepestJson) throw BeyondLimits();
    if (event == Event::object_start) keys_.push_back(0);
    if (event == Event::object_end) keys_.pop_back();
    if (event == Event::key) compared_ += keys_.back()++;
    if (compared_ > kMostKeys * kMostKeys / 2) throw BeyondLimits();
  }

 private:
  std::vector<size_t> keys_;  // so far, of the objects that are open
  size_t compared_ = 0;
};

}  // namespace

Json parse_json(const std::string& text) {
  Limits limits;
  const auto see = [&](int depth, Json::parse_event_t event, Json&) {
    limits.see(depth, event);
    return true;
  };
  try {
    return Json::parse(text, see, /*allow_exceptions=*/false);
  } catch (const BeyondLimits&) {
    return Json(Json::value_t::discarded);
  }
}

}  // namespace cm
