#include "cm/base/log.h"

#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>

namespace cm {
namespace {

spdlog::logger& logger() {
  static const std::shared_ptr<spdlog::logger> instance = [] {
    auto made = spdlog::stderr_color_mt("cm");
    made->set_pattern("[%H:%M:%S] %^%v%$");
    return made;
  }();
  return *instance;
}

}  // namespace

void log_info(const std::string& line) {
  logger().log(spdlog::level::info, "{}", line);
}
void log_warning(const std::string& line) {
  logger().log(spdlog::level::warn, "warning: {}", line);
}
void silence_log() {
  logger().set_level(spdlog::level::off);
}

}  // namespace cm
