#include "src/data/cifar10.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cm/base/error.h"
#include "cm/base/files.h"
#include "cm/base/text.h"
#include "data/kind_laws.h"
#include "support/message_of.h"
#include "support/temporary_folder.h"

namespace cm {
namespace {

std::unique_ptr<Dataset> open_cifar10(const std::string& path, bool labels) {
  return cifar10_kind().open({.path = path, .labels = labels});
}

using test::message_of;
using test::TemporaryFolder;
using testing::HasSubstr;

// A record whose red, green and blue planes begin with 10, 20, 30 and whose second row begins with 40.
std::string record(int label) {
  std::string bytes(3073, '\0');
  bytes[0] = static_cast<char>(label);
  bytes[1] = 10;
  bytes[1 + 1024] = 20;
  bytes[1 + 2048] = 30;
  bytes[1 + 32] = 40;
  return bytes;
}

TEST(Cifar10, ReadsRecordsOfClassAndPlanes) {
  const TemporaryFolder folder;
  write_file_atomically(folder / "data.bin", record(3) + record(9));
  const auto data = open_cifar10(folder / "data.bin", true);
  ASSERT_EQ(data->size(), 2);
  EXPECT_EQ(data->channels(), 3);
  EXPECT_EQ(data->image_size(), 32);
  EXPECT_EQ(data->classes(), 10);

  const Example second = data->get(1);
  EXPECT_EQ(second.label, 9);
  Tensor expected = torch::zeros({3, 32, 32}, torch::kUInt8);
  expected[0][0][0] = 10;
  expected[1][0][0] = 20;
  expected[2][0][0] = 30;
  expected[0][1][0] = 40;
  EXPECT_TRUE(torch::equal(second.pixels, expected));
}

TEST(Cifar10, JoinsTheFiveBatchesInOrder) {
  const TemporaryFolder folder;
  for (int i = 5; i >= 1; --i) write_file_atomically(folder / concat("data_batch_", i, ".bin"), record(i));
  write_file_atomically(folder / "test_batch.bin", record(0));
  const auto data = open_cifar10(folder.path(), true);
  ASSERT_EQ(data->size(), 5);
  for (int64_t i = 0; i < 5; ++i) EXPECT_EQ(data->get(i).label, i + 1);

  const auto unlabelled = open_cifar10(folder.path(), false);
  EXPECT_EQ(unlabelled->classes(), 0);
  EXPECT_EQ(unlabelled->get(2).label, 0);
}

TEST(Cifar10, NamesEveryBadFile) {
  const TemporaryFolder folder;
  write_file_atomically(folder / "data_batch_1.bin", record(1));
  write_file_atomically(folder / "data_batch_2.bin", record(1).substr(0, 3000));
  write_file_atomically(folder / "data_batch_3.bin", "");
  const std::string message = message_of<InputError>([&] { open_cifar10(folder.path(), true); });
  EXPECT_THAT(message,
              HasSubstr("data_batch_2.bin: 3000 bytes, which is no whole number of 3073-byte records"));
  EXPECT_THAT(message, HasSubstr("data_batch_3.bin: empty file"));
  EXPECT_THAT(message, HasSubstr("data_batch_4.bin: missing"));
  EXPECT_THAT(message, HasSubstr("cifar-10-binary.tar.gz"));
}

TEST(Cifar10, RefusesAClassOutOfRange) {
  const TemporaryFolder folder;
  write_file_atomically(folder / "data.bin", record(1) + record(10));
  EXPECT_THAT(message_of<InputError>([&] { open_cifar10(folder / "data.bin", true); }),
              HasSubstr("data.bin: record 1 has class 10, expected 0 to 9"));
}

TEST(Cifar10, IsAKindOfData) {
  const TemporaryFolder folder;
  for (int i = 1; i <= 5; ++i) write_file_atomically(folder / concat("data_batch_", i, ".bin"), record(i));
  test::expect_laws_of_a_kind({.kind = {"cifar10"}, .path = folder.path()});
  test::expect_laws_of_a_kind({.kind = {"cifar10"}, .path = folder / "data_batch_2.bin"});
}

}  // namespace
}  // namespace cm
