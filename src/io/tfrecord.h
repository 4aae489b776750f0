// TensorFlow's record framing: length and data, each followed by a masked CRC-32C.
// https://www.tensorflow.org/tutorials/load_data/tfrecord
#pragma once

#include <string>
#include <string_view>

namespace cm {

// The bytes of one record that holds `data`.
std::string tfrecord(std::string_view data);

}  // namespace cm
