// The protobuf wire format is written by hand: the messages have eleven fields in all, which do not pay for a
// code generator in the build, and libtorch_cpu exports symbols of a protobuf of its own that a second one
// could meet. https://protobuf.dev/programming-guides/encoding; event.proto and summary.proto of
// tensorboard/compat/proto.
#include "cm/io/tensorboard.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <charconv>
#include <chrono>

#include "cm/base/error.h"
#include "cm/base/files.h"
#include "cm/base/text.h"
#include "cm/io/image.h"
#include "tfrecord.h"

namespace cm {
namespace {

namespace fs = std::filesystem;

// A message as it grows; each call appends one field. `number` is the field's number in the .proto file.
class Message {
 public:
  Message& integer(uint32_t number, int64_t value) {
    tag(number, WireType::varint);
    varint(static_cast<uint64_t>(value));
    return *this;
  }
  Message& number64(uint32_t number, double value) {
    tag(number, WireType::fixed64);
    fixed(std::bit_cast<uint64_t>(value));
    return *this;
  }
  Message& number32(uint32_t number, float value) {
    tag(number, WireType::fixed32);
    fixed(std::bit_cast<uint32_t>(value));
    return *this;
  }
  Message& bytes(uint32_t number, std::string_view value) {
    tag(number, WireType::length_delimited);
    varint(value.size());
    bytes_ += value;
    return *this;
  }
  Message& message(uint32_t number, const Message& value) { return bytes(number, value.bytes_); }

  const std::string& encoded() const { return bytes_; }

 private:
  enum class WireType : uint32_t { varint = 0, fixed64 = 1, length_delimited = 2, fixed32 = 5 };

  void tag(uint32_t number, WireType type) { varint((number << 3) | static_cast<uint32_t>(type)); }

  void varint(uint64_t value) {
    for (; value >= 0x80; value >>= 7) bytes_ += static_cast<char>(value | 0x80);
    bytes_ += static_cast<char>(value);
  }

  template <class Integer>
  void fixed(Integer value) {
    for (size_t i = 0; i < sizeof(value); ++i) bytes_ += static_cast<char>(value >> (8 * i));
  }

  std::string bytes_;
};

double wall_seconds() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

std::string host_name() {
  std::array<char, 256> name{};
  return gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "localhost";
}

constexpr const char* kPrefix = "events.out.tfevents.";

// Of the clock, unless a file of the folder has that second or a later one: readers take files in the order
// of their names, which two starts within a second or a clock that was set back would put wrong.
int64_t second_after_all(const fs::path& folder) {
  auto second = static_cast<int64_t>(wall_seconds());
  for (const auto& entry : fs::directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    if (!name.starts_with(kPrefix)) continue;
    int64_t other = 0;
    std::from_chars(name.data() + std::string_view(kPrefix).size(), name.data() + name.size(), other);
    second = std::max(second, other + 1);
  }
  return second;
}

fs::path event_file_in(const fs::path& folder) {
  std::error_code failed;
  fs::create_directories(folder, failed);
  if (failed) throw Error(concat("could not create ", folder.string(), ": ", failed.message()));
  return folder / concat(kPrefix, second_after_all(folder), ".", host_name());
}

// Event: wall_time = 1, step = 2, file_version = 3, summary = 5, session_log = 7.
Message event() {
  return std::move(Message().number64(1, wall_seconds()));
}

// Summary: value = 1, which has tag = 1 and one of simple_value = 2, image = 4.
Message summary_event(int64_t step, const Message& value) {
  return std::move(event().integer(2, step).message(5, Message().message(1, value)));
}

// SessionLog: status = 1, of which START is 1. Readers drop the events of its step and later ones before it.
Message session_start(int64_t first_step) {
  return std::move(event().integer(2, first_step).message(7, Message().integer(1, 1)));
}

}  // namespace

struct TensorBoardWriter::State {
  explicit State(const fs::path& folder) : writer(event_file_in(folder), FileWriter::Mode::append) {}
  void write(const Message& message) { writer.write(tfrecord(message.encoded())); }
  FileWriter writer;
};

TensorBoardWriter::TensorBoardWriter(const fs::path& folder, int64_t after_step)
    : state_(std::make_unique<State>(folder)) {
  state_->write(event().bytes(3, "brain.Event:2"));
  state_->write(session_start(after_step + 1));
}

TensorBoardWriter::~TensorBoardWriter() = default;

void TensorBoardWriter::scalar(const std::string& tag, double value, int64_t step) {
  state_->write(summary_event(step, Message().bytes(1, tag).number32(2, static_cast<float>(value))));
}

void TensorBoardWriter::image(const std::string& tag, const Tensor& pixels, int64_t step) {
  // Image: height = 1, width = 2, colorspace = 3 (1 grey, 3 RGB: our channels), encoded_image_string = 4.
  const Message image = Message()
                            .integer(1, pixels.size(1))
                            .integer(2, pixels.size(2))
                            .integer(3, pixels.size(0))
                            .bytes(4, encode_png(pixels));
  state_->write(summary_event(step, Message().bytes(1, tag).message(4, image)));
}

}  // namespace cm
