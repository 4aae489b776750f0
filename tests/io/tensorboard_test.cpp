#include "cm/io/tensorboard.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/types.h>

#include <algorithm>
#include <bit>
#include <cstring>

#include "cm/base/error.h"
#include "cm/base/files.h"
#include "cm/io/image.h"
#include "support/message_of.h"
#include "support/temporary_folder.h"

namespace cm {
namespace {

using test::message_of;
using test::TemporaryFolder;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;

// A protobuf message taken apart: field number → raw bytes (of a varint, its value's 8 bytes).
using Fields = std::map<uint64_t, std::string>;

uint64_t take_varint(std::string_view& bytes) {
  uint64_t value = 0;
  for (int shift = 0;; shift += 7) {
    const auto byte = static_cast<uint8_t>(bytes.at(0));
    bytes.remove_prefix(1);
    value |= uint64_t{byte & 0x7FU} << shift;
    if (byte < 0x80) return value;
  }
}

Fields parse_message(std::string_view bytes) {
  Fields fields;
  while (!bytes.empty()) {
    const uint64_t tag = take_varint(bytes);
    std::string& value = fields[tag >> 3];
    if ((tag & 7) == 0) {
      const uint64_t number = take_varint(bytes);
      value.assign(reinterpret_cast<const char*>(&number), sizeof(number));
      continue;
    }
    const uint64_t length = (tag & 7) == 1 ? 8 : (tag & 7) == 5 ? 4 : take_varint(bytes);
    value = bytes.substr(0, length);
    bytes.remove_prefix(length);
  }
  return fields;
}

template <class Number>
Number number_in(std::string_view bytes) {
  Number number{};
  EXPECT_GE(bytes.size(), sizeof(number));
  std::memcpy(&number, bytes.data(), sizeof(number));
  return number;
}

// CRC-32C by long division, one bit at a time, and TensorFlow's mask.
uint32_t masked_crc32c(std::string_view bytes) {
  uint32_t crc = ~0U;
  for (const char byte : bytes) {
    crc ^= static_cast<uint8_t>(byte);
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0x82F63B78U : 0);
  }
  return ((~crc >> 15) | (~crc << 17)) + 0xA282EAD8U;
}

// The events of the only file in `folder`; fails the test where a checksum is wrong.
std::vector<Fields> events_in(const std::filesystem::path& folder) {
  const auto path = std::filesystem::directory_iterator(folder)->path();
  EXPECT_THAT(path.filename().string(), StartsWith("events.out.tfevents."));
  const std::string content = read_file(path);
  std::vector<Fields> events;
  for (std::string_view rest = content; !rest.empty();) {
    const auto length = number_in<uint64_t>(rest);
    const std::string_view data = rest.substr(12, length);
    EXPECT_EQ(number_in<uint32_t>(rest.substr(8)), masked_crc32c(rest.substr(0, 8)));
    EXPECT_EQ(number_in<uint32_t>(rest.substr(12 + length)), masked_crc32c(data));
    events.push_back(parse_message(data));
    rest.remove_prefix(16 + length);
  }
  return events;
}

// The Summary.Value of an event.
Fields value_of(const Fields& event) {
  return parse_message(parse_message(event.at(5)).at(1));
}

TEST(TensorBoard, TheChecksumIsCastagnolis) {
  // The check value of CRC-32C is E3069283; masked: ((E3069283 >> 15) | (E3069283 << 17)) + A282EAD8.
  EXPECT_EQ(masked_crc32c("123456789"), std::rotr(0xE3069283U, 15) + 0xA282EAD8U);
}

TEST(TensorBoard, AFileBeginsWithItsVersionAndTheSessionsFirstStep) {
  const TemporaryFolder folder;
  { const TensorBoardWriter writer(folder / "new/tensorboard", 7); }
  const auto events = events_in(folder / "new/tensorboard");
  ASSERT_EQ(events.size(), 2U);
  EXPECT_EQ(events[0].at(3), "brain.Event:2");
  EXPECT_GT(number_in<double>(events[0].at(1)), 1.6e9);  // seconds since 1970
  EXPECT_EQ(number_in<int64_t>(events[1].at(2)), 8);
  EXPECT_EQ(number_in<int64_t>(parse_message(events[1].at(7)).at(1)), 1);  // SessionLog.status is START
}

TEST(TensorBoard, AScalarCarriesTagValueAndStep) {
  const TemporaryFolder folder;
  TensorBoardWriter writer(folder.path());
  writer.scalar("train/loss", 0.25, 300);
  writer.scalar("train/loss", -1e-3, int64_t{1} << 40);
  const auto events = events_in(folder.path());
  ASSERT_EQ(events.size(), 4U);
  EXPECT_EQ(number_in<int64_t>(events[2].at(2)), 300);
  EXPECT_EQ(value_of(events[2]).at(1), "train/loss");
  EXPECT_EQ(number_in<float>(value_of(events[2]).at(2)), 0.25F);
  EXPECT_EQ(number_in<int64_t>(events[3].at(2)), int64_t{1} << 40);
  EXPECT_EQ(number_in<float>(value_of(events[3]).at(2)), -1e-3F);
}

// However fast it is resumed, and whatever the clock was set back to.
TEST(TensorBoard, ALaterFileIsAFileOfItsOwnThatComesLaterByName) {
  const TemporaryFolder folder;
  const std::string ahead = "events.out.tfevents.4000000000.host";
  FileWriter(folder / ahead).write("of a clock that was set back since");
  for (int start = 0; start < 2; ++start) {
    const TensorBoardWriter writer(folder.path());
  }
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(folder.path())) {
    names.push_back(entry.path().filename().string());
  }
  std::ranges::sort(names);
  EXPECT_THAT(names, ElementsAre(ahead, StartsWith("events.out.tfevents.4000000001."),
                                 StartsWith("events.out.tfevents.4000000002.")));
  EXPECT_EQ(read_file(folder / ahead), "of a clock that was set back since");
}

TEST(TensorBoard, AnImageIsAPng) {
  const TemporaryFolder folder;
  const Tensor pixels = torch::arange(60).to(torch::kUInt8).reshape({3, 4, 5});
  TensorBoardWriter(folder.path()).image("samples", pixels, 7);
  const auto events = events_in(folder.path());
  ASSERT_EQ(events.size(), 3U);
  const Fields image = parse_message(value_of(events[2]).at(4));
  EXPECT_EQ(number_in<int64_t>(image.at(1)), 4);
  EXPECT_EQ(number_in<int64_t>(image.at(2)), 5);
  EXPECT_EQ(number_in<int64_t>(image.at(3)), 3);
  EXPECT_EQ(image.at(4), encode_png(pixels));
}

TEST(TensorBoard, AnUnusableFolderIsAnError) {
  const TemporaryFolder folder;
  write_file_atomically(folder / "file", "");
  EXPECT_THAT(message_of<Error>([&] { TensorBoardWriter(folder / "file/tensorboard"); }),
              HasSubstr("could not create"));
}

}  // namespace
}  // namespace cm
