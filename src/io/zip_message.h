// libzip's words for its error codes.
#pragma once

#include <string>

namespace cm {

std::string zip_message(int code);

}  // namespace cm
