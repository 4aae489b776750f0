#include "cm/io/npz.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/types.h>

#include "cm/base/error.h"
#include "cm/base/files.h"
#include "support/message_of.h"
#include "support/temporary_folder.h"

namespace cm {
namespace {

using test::message_of;
using test::TemporaryFolder;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;

class Npz : public ::testing::Test {
 protected:
  std::string refusal(const std::string& content) const {
    FileWriter(path_).write(content);
    const std::string message = message_of<InputError>([&] { load_npz(path_); });
    EXPECT_THAT(message, StartsWith(path_.string() + ": "));
    return message;
  }

  // The archive of one array, with `from` in it replaced by `to` of the same length.
  std::string archive_with(const std::string& from, const std::string& to) const {
    save_npz(path_, {{"x", torch::arange(6, torch::kFloat32).reshape({2, 3})}});
    std::string content = read_file(path_);
    EXPECT_EQ(from.size(), to.size());
    for (size_t at = content.find(from); at != std::string::npos; at = content.find(from, at + 1)) {
      content.replace(at, from.size(), to);
    }
    return content;
  }

  const TemporaryFolder folder_;
  const std::filesystem::path path_ = folder_ / "x.npz";
};

TEST_F(Npz, EveryDtypeComesBackAsItWas) {
  NpzArrays arrays;
  for (const auto dtype : {torch::kUInt8, torch::kUInt16, torch::kUInt32, torch::kUInt64}) {
    arrays[c10::toString(dtype)] = torch::tensor({0, 128, 255}).to(dtype);
  }
  const Tensor values = torch::tensor({-2.0, 0.0, 0.5, 100.0, 1.0, 7.0}, torch::kFloat64).reshape({2, 3});
  for (const auto dtype : {torch::kFloat64, torch::kFloat32, torch::kFloat16, torch::kInt64, torch::kInt32,
                           torch::kInt16, torch::kInt8, torch::kBool}) {
    arrays[c10::toString(dtype)] = values.to(dtype);
  }
  save_npz(path_, arrays);
  const NpzArrays loaded = load_npz(path_);
  ASSERT_EQ(loaded.size(), arrays.size());
  for (const auto& [name, array] : arrays) {
    EXPECT_EQ(loaded.at(name).scalar_type(), array.scalar_type()) << name;
    EXPECT_TRUE(torch::equal(loaded.at(name), array)) << name;
  }
}

TEST_F(Npz, ScalarsEmptyAndStridedArraysKeepTheirShape) {
  const Tensor transposed = torch::arange(6).reshape({2, 3}).t();
  save_npz(path_, {{"scalar", torch::tensor(2.5)},
                   {"empty", torch::zeros({0, 4})},
                   {"vector", torch::ones({5})},
                   {"strided", transposed}});
  const NpzArrays arrays = load_npz(path_);
  EXPECT_EQ(arrays.at("scalar").dim(), 0);
  EXPECT_EQ(arrays.at("scalar").item<float>(), 2.5F);
  EXPECT_EQ(arrays.at("empty").sizes(), (std::vector<int64_t>{0, 4}));
  EXPECT_EQ(arrays.at("vector").sizes(), (std::vector<int64_t>{5}));
  EXPECT_TRUE(torch::equal(arrays.at("strided"), transposed));
}

TEST_F(Npz, EqualArraysMakeEqualFiles) {
  const NpzArrays arrays = {{"arr_0", torch::ones({3})}};
  save_npz(folder_ / "a.npz", arrays);
  save_npz(folder_ / "b.npz", arrays);
  EXPECT_EQ(read_file(folder_ / "a.npz"), read_file(folder_ / "b.npz"));
}

TEST_F(Npz, WritingReplacesAnArchiveAndLeavesNothingBeside) {
  save_npz(path_, {{"old", torch::ones({3})}});
  save_npz(path_, {{"new", torch::ones({3})}});
  EXPECT_EQ(load_npz(path_).count("old"), 0U);
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder_.path()), {}), 1);
  using std::filesystem::perms;
  EXPECT_NE(std::filesystem::status(path_).permissions() & perms::owner_write, perms::none);
}

TEST_F(Npz, WritingRefusesWhatNumPyLacks) {
  save_npz(path_, {{"old", torch::ones({3})}});
  const auto brain_float = [&] { save_npz(path_, {{"x", torch::ones({1}, torch::kBFloat16)}}); };
  EXPECT_EQ(message_of<Error>(brain_float), "NumPy has no dtype for BFloat16 tensors");
  EXPECT_THAT(message_of<Error>([&] { save_npz(path_, {}); }), HasSubstr("no arrays to write"));
  EXPECT_THAT(message_of<Error>([&] {
                save_npz(folder_ / "none/x.npz", {{"x", torch::ones({1})}});
              }),
              HasSubstr("could not create"));
  EXPECT_EQ(load_npz(path_).count("old"), 1U);
}

TEST_F(Npz, OtherFilesAreRefused) {
  EXPECT_THAT(message_of<InputError>([&] { load_npz(folder_ / "none.npz"); }), HasSubstr("No such file"));
  EXPECT_THAT(refusal("these bytes are not a zip archive"), HasSubstr("not a readable .npz archive"));
  EXPECT_THAT(refusal(""), HasSubstr("not a readable .npz archive"));
  std::string empty_archive = "PK\5\6";
  empty_archive.resize(22);
  EXPECT_THAT(refusal(empty_archive), HasSubstr("holds no arrays"));
}

TEST_F(Npz, TruncationIsSeenAnywhere) {
  const std::string whole = archive_with("", "");
  for (size_t bytes = 0; bytes < whole.size(); ++bytes) refusal(whole.substr(0, bytes));
}

TEST_F(Npz, DamagedDataIsRefused) {
  std::string content = archive_with("", "");
  content[content.find('\n', content.find("shape")) + 1] ^= 1;  // the first byte of the data
  EXPECT_THAT(refusal(content), HasSubstr("array x.npy: damaged: CRC error"));
}

TEST_F(Npz, HeadersAreCheckedBeforeMemoryIsTaken) {
  EXPECT_THAT(refusal(archive_with("(2, 3), }      ", "(2, 3000000), }")),
              HasSubstr("does not fit its size"));
  EXPECT_THAT(refusal(archive_with("(2, 3), }  ", "(2, -3,), }")), HasSubstr("does not fit its size"));
  EXPECT_THAT(refusal(archive_with("(2, 3)", "(2, x)")), HasSubstr("malformed shape"));
  EXPECT_THAT(refusal(archive_with("(2, 3)", "[2, 3]")), HasSubstr("malformed shape"));
  EXPECT_THAT(refusal(archive_with("'shape'", "'shake'")), HasSubstr("has no 'shape'"));
  EXPECT_THAT(refusal(archive_with("False", "Maybe")), HasSubstr("fortran_order True or False"));
  EXPECT_THAT(refusal(archive_with("NUMPY\x01", "NUMPY\x04")),
              HasSubstr("not a .npy array of version 1, 2 or 3"));
  EXPECT_THAT(refusal(archive_with("NUMPY", "LUMPY")), HasSubstr("not a .npy array"));
  EXPECT_THAT(refusal(archive_with("x.npy", "x.txt")), HasSubstr("array x.txt: its name must end in .npy"));
}

TEST_F(Npz, OtherKindsOfArraysAreRefused) {
  EXPECT_THAT(refusal(archive_with("'<f4'", "'>f4'")),
              HasSubstr("array x.npy: has dtype '>f4'; expected one of {|b1, |u1,"));
  EXPECT_THAT(refusal(archive_with("'<f4'", "'|O' ")), HasSubstr("has dtype '|O'"));
  EXPECT_THAT(refusal(archive_with("'<f4'", "'<U1'")), HasSubstr("has dtype '<U1'"));
}

TEST_F(Npz, OnlyWhatIsNamedIsRead) {
  save_npz(path_, {{"arr_0", torch::ones({3})}, {"mu", torch::ones({2})}, {"names", torch::ones({2})}});
  std::string content = read_file(path_);
  const size_t kind = content.rfind("'<f4'");  // of "names", the last
  FileWriter(path_).write(content.replace(kind, 5, "'|O' "));
  testing::internal::CaptureStderr();
  const NpzArrays arrays = load_npz(path_, {"arr_0", "arr_1"});
  EXPECT_THAT(testing::internal::GetCapturedStderr(),
              HasSubstr("x.npz: not read: 2 other array(s), mu, names\n"));
  EXPECT_EQ(arrays.size(), 1U);
  EXPECT_TRUE(arrays.contains("arr_0"));
  EXPECT_THAT(message_of<InputError>([&] { load_npz(path_, {"names"}); }), HasSubstr("has dtype '|O'"));
}

TEST(IsNpz, GoesByTheExtension) {
  EXPECT_TRUE(is_npz("a/samples.npz"));
  EXPECT_FALSE(is_npz("a/samples.npz/images"));
  EXPECT_FALSE(is_npz("a/samples.png"));
}

}  // namespace
}  // namespace cm
