#include "cm/io/safetensors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/types.h>

#include "cm/base/error.h"
#include "cm/base/files.h"
#include "cm/base/text.h"
#include "support/message_of.h"
#include "support/temporary_folder.h"

namespace cm {
namespace {

using test::message_of;
using test::TemporaryFolder;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

// A file with this header, its true length and `data_bytes` zeros.
std::string file_with(const std::string& header, size_t data_bytes) {
  const uint64_t length = header.size();
  return std::string(reinterpret_cast<const char*>(&length), sizeof(length)) + header +
         std::string(data_bytes, '\0');
}

class Safetensors : public ::testing::Test {
 protected:
  // The message that reading `content` ends in; the same from both readers.
  std::string refusal(const std::string& content) const {
    FileWriter(path_).write(content);
    const std::string message = message_of<InputError>([&] { load_safetensors(path_); });
    EXPECT_EQ(message, message_of<InputError>([&] { read_safetensors_header(path_); }));
    EXPECT_THAT(message, StartsWith(path_.string() + ": "));
    return message;
  }

  std::string refusal_of_header(const std::string& header, size_t data_bytes = 8) const {
    return refusal(file_with(header, data_bytes));
  }

  const TemporaryFolder folder_;
  const std::filesystem::path path_ = folder_ / "x.safetensors";
};

TEST_F(Safetensors, EveryDtypeComesBackAsItWas) {
  NamedTensors tensors;
  const Tensor values = torch::tensor({-2.0, 0.0, 0.5, 100.0, 1.0, 7.0}, torch::kFloat64).reshape({2, 3});
  for (const auto dtype : {torch::kFloat64, torch::kFloat32, torch::kFloat16, torch::kBFloat16, torch::kInt64,
                           torch::kInt32, torch::kInt16, torch::kInt8, torch::kBool}) {
    tensors[c10::toString(dtype)] = values.to(dtype);
  }
  tensors["uint8"] = torch::tensor({0, 128, 255}, torch::kUInt8);
  save_safetensors(path_, tensors);
  const SafetensorsFile file = load_safetensors(path_);
  ASSERT_EQ(file.tensors.size(), tensors.size());
  for (const auto& [name, tensor] : tensors) {
    EXPECT_EQ(file.tensors.at(name).scalar_type(), tensor.scalar_type()) << name;
    EXPECT_TRUE(torch::equal(file.tensors.at(name), tensor)) << name;
  }
  EXPECT_TRUE(file.metadata.empty());
}

TEST_F(Safetensors, ScalarsEmptyAndStridedTensorsKeepTheirShape) {
  const Tensor transposed = torch::arange(6).reshape({2, 3}).t();
  save_safetensors(
      path_, {{"scalar", torch::tensor(2.5)}, {"empty", torch::zeros({0, 4})}, {"strided", transposed}});
  const auto tensors = load_safetensors(path_).tensors;
  EXPECT_EQ(tensors.at("scalar").dim(), 0);
  EXPECT_EQ(tensors.at("scalar").item<float>(), 2.5F);
  EXPECT_EQ(tensors.at("empty").sizes(), (std::vector<int64_t>{0, 4}));
  EXPECT_TRUE(torch::equal(tensors.at("strided"), transposed));
}

TEST_F(Safetensors, TensorsAreReadOneAtATimeInAnyOrder) {
  const NamedTensors tensors = {{"a", torch::arange(6).view({2, 3})},
                                {"b", torch::tensor({1.5, -2.0})},
                                {"empty", torch::zeros({0, 4})},
                                {"mask", torch::tensor({true, false, true})}};
  save_safetensors(path_, tensors, {{"text", "σ"}});
  SafetensorsReader file(path_);
  EXPECT_EQ(file.header().metadata.at("text"), "σ");
  for (const std::string name : {"mask", "a", "b", "empty", "a"}) {
    EXPECT_TRUE(torch::equal(file.read(name), tensors.at(name))) << name;
  }
  EXPECT_EQ(message_of<InputError>([&] { file.read("c"); }), path_.string() + ": has no tensor c");
}

TEST_F(Safetensors, TheHeaderAloneTellsNamesShapesAndMetadata) {
  const Metadata metadata = {{"network", R"({"channels": 128})"}, {"text", "σ ≤ 80\n"}};
  save_safetensors(path_, {{"w", torch::zeros({2, 3}, torch::kBFloat16)}}, metadata);
  const SafetensorsHeader header = read_safetensors_header(path_);
  EXPECT_EQ(header.metadata, metadata);
  EXPECT_EQ(header.tensors.at("w").dtype, "BF16");
  EXPECT_EQ(header.tensors.at("w").shape, (std::vector<int64_t>{2, 3}));
  EXPECT_EQ(load_safetensors(path_).metadata, metadata);
}

TEST_F(Safetensors, TheHeaderTellsWhereTheDataLie) {
  const Tensor w = torch::tensor({1.5F, -2.0F});
  save_safetensors(path_, {{"n", torch::arange(3)}, {"w", w}}, {{"text", "σ"}});
  const std::string bytes = read_file(path_);
  const auto offset = static_cast<size_t>(read_safetensors_header(path_).tensors.at("w").offset);
  EXPECT_EQ(bytes.substr(offset), std::string(static_cast<const char*>(w.data_ptr()), w.nbytes()));
}

TEST_F(Safetensors, TheDataIsAligned) {
  for (const std::string name : {"a", "ab", "abc", "abcd", "abcde", "abcdef", "abcdefg", "abcdefgh"}) {
    save_safetensors(
        path_, {{"byte", torch::zeros({1}, torch::kUInt8)}, {name, torch::zeros({1}, torch::kFloat64)}});
    const std::string content = read_file(path_);
    EXPECT_EQ((content.size() - 9) % 8, 0U) << name;  // a double and a byte after the header
    EXPECT_THAT(content, HasSubstr(name + R"(":{"dtype":"F64","shape":[1],"data_offsets":[0,8]})"));
  }
}

TEST_F(Safetensors, ABoolMayBeAnyByte) {
  std::string content = file_with(R"({"b":{"dtype":"BOOL","shape":[2],"data_offsets":[0,2]}})", 2);
  content.back() = 7;
  write_file_atomically(path_, content);
  EXPECT_TRUE(torch::equal(load_safetensors(path_).tensors.at("b"), torch::tensor({false, true})));
}

TEST_F(Safetensors, WritingRefusesWhatTheFormatLacks) {
  const auto complex = [&] { save_safetensors(path_, {{"z", torch::zeros({1}, torch::kComplexFloat)}}); };
  EXPECT_THAT(message_of<Error>(complex),
              HasSubstr("tensor z can't be written as safetensors: its dtype is"));
  const auto reserved = [&] { save_safetensors(path_, {{"__metadata__", torch::zeros({1})}}); };
  EXPECT_THAT(message_of<Error>(reserved), HasSubstr("can't be named __metadata__"));
  EXPECT_FALSE(std::filesystem::exists(path_));
}

TEST_F(Safetensors, AMissingFileIsNamed) {
  EXPECT_EQ(message_of<InputError>([&] { load_safetensors(path_); }), path_.string() + ": no such file");
  EXPECT_EQ(message_of<InputError>([&] { SafetensorsReader file(path_); }),
            path_.string() + ": no such file");
}

TEST_F(Safetensors, OtherFilesAreRefused) {
  EXPECT_THAT(refusal("PK"), HasSubstr("not a safetensors file: it has only 2 bytes"));
  EXPECT_THAT(refusal("PK\x03\x04 a zip archive, as torch.save writes it"),
              HasSubstr("not a safetensors file"));
  EXPECT_THAT(refusal_of_header("not json"), HasSubstr("its header is not a JSON object"));
  EXPECT_THAT(refusal_of_header("[1]"), HasSubstr("its header is not a JSON object"));
}

TEST_F(Safetensors, HostileHeadersAreRefused) {
  const uint64_t huge = 100'000'001;
  const std::string length(reinterpret_cast<const char*>(&huge), sizeof(huge));
  EXPECT_THAT(refusal(length + "{}"), HasSubstr("header length of 100000001 bytes; at most 100000000"));
  EXPECT_THAT(refusal_of_header(std::string(100'000, '[')), HasSubstr("its header is not a JSON object"));
  EXPECT_THAT(refusal_of_header(R"({"a":{"dtype":"F32","shape":[4611686018427387904,4611686018427387904],)"
                                R"("data_offsets":[0,8]}})"),
              HasSubstr("does not fit its 8 bytes"));
  EXPECT_THAT(refusal_of_header(R"({"a":{"dtype":"F32","shape":[0,4611686018427387904,4611686018427387904],)"
                                R"("data_offsets":[0,0]}})"),
              HasSubstr("does not fit its 0 bytes"));
}

TEST_F(Safetensors, TruncationIsSeenAnywhere) {
  save_safetensors(path_, {{"a", torch::zeros({4})}});
  const std::string whole = read_file(path_);
  for (size_t bytes = 0; bytes < whole.size(); ++bytes) refusal(whole.substr(0, bytes));
  EXPECT_THAT(refusal(whole.substr(0, whole.size() - 1)),
              HasSubstr("truncated: its header describes 16 bytes of tensors, but only 15 follow"));
  EXPECT_THAT(refusal(whole.substr(0, 40)), HasSubstr("its header should have"));
  EXPECT_THAT(refusal(whole + "x"), HasSubstr("1 bytes after the last tensor belong to no tensor"));
}

TEST_F(Safetensors, TensorsMustFillTheDataExactly) {
  const auto two = [](const char* a, const char* b) {
    return concat(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":)", a,
                  R"(},"b":{"dtype":"F32","shape":[1],"data_offsets":)", b, "}}");
  };
  EXPECT_THAT(refusal_of_header(two("[0,4]", "[2,6]")), HasSubstr("tensor b overlaps the tensor before it"));
  EXPECT_THAT(refusal_of_header(two("[0,4]", "[0,4]")), HasSubstr("overlaps"));
  EXPECT_THAT(refusal_of_header(two("[4,8]", "[8,12]"), 12),
              HasSubstr("the bytes before tensor a belong to no tensor"));
  EXPECT_THAT(refusal_of_header(two("[0,4]", "[4,8]"), 6), HasSubstr("truncated"));
}

TEST_F(Safetensors, DtypesShapesAndOffsetsMustAgree) {
  const auto one = [](const char* dtype, const char* shape, const char* offsets) {
    return concat(R"({"a":{"dtype":)", dtype, R"(,"shape":)", shape, R"(,"data_offsets":)", offsets, "}}");
  };
  EXPECT_THAT(refusal_of_header(one(R"("F32")", "[3]", "[0,8]")),
              HasSubstr("tensor a of dtype F32 and shape [3] does not fit its 8 bytes"));
  EXPECT_THAT(refusal_of_header(one(R"("F8_E4M3")", "[8]", "[0,8]")),
              AllOf(HasSubstr(R"(dtype "F8_E4M3"; expected one of {F64, F32,)"), HasSubstr("BOOL}")));
  EXPECT_THAT(refusal_of_header(one("7", "[2]", "[0,8]")), HasSubstr("has dtype 7"));
  EXPECT_THAT(refusal_of_header(one(R"("F32")", "[-2]", "[0,8]")),
              HasSubstr("shape must be a list of integers"));
  EXPECT_THAT(refusal_of_header(one(R"("F32")", "[1.5]", "[0,8]")),
              HasSubstr("shape must be a list of integers"));
  EXPECT_THAT(refusal_of_header(one(R"("F32")", "2", "[0,8]")),
              HasSubstr("shape must be a list of integers"));
  EXPECT_THAT(refusal_of_header(one(R"("F32")", "[2]", "[8,0]")),
              HasSubstr("data_offsets must be [begin, end]"));
  EXPECT_THAT(refusal_of_header(one(R"("F32")", "[2]", "[0,4,8]")),
              HasSubstr("data_offsets must be [begin, end]"));
  EXPECT_THAT(refusal_of_header(R"({"a":{"dtype":"F32","shape":[2]}})"),
              HasSubstr("tensor a has no data_offsets"));
  EXPECT_THAT(refusal_of_header(R"({"a":1})"), HasSubstr("tensor a has no dtype"));
}

TEST_F(Safetensors, MetadataMustBeStrings) {
  EXPECT_THAT(refusal_of_header(R"({"__metadata__":{"step":5}})", 0),
              HasSubstr("__metadata__.step must be a string, got 5"));
  EXPECT_THAT(refusal_of_header(R"({"__metadata__":"x"})", 0),
              HasSubstr("__metadata__ must be an object of strings"));
}

// Two shards and an index of them.
class ShardedSafetensors : public ::testing::Test {
 protected:
  ShardedSafetensors() {
    save_safetensors(folder_ / "a.safetensors", {{"x", torch::ones({2})}, {"y", torch::zeros({3})}});
    save_safetensors(folder_ / "b.safetensors", {{"z", torch::full({1}, 7, torch::kFloat16)}});
  }

  void write_index(const std::string& content) const { write_file_atomically(index_, content); }
  std::string refusal(const std::string& content) const {
    write_index(content);
    const std::string message = message_of<InputError>([&] { load_safetensors(index_); });
    EXPECT_EQ(message, message_of<InputError>([&] { read_safetensors_header(index_); }));
    return message;
  }

  const TemporaryFolder folder_;
  const std::filesystem::path index_ = folder_ / "m.safetensors.index.json";
};

TEST_F(ShardedSafetensors, AnIndexIsReadAsOneFile) {
  write_index(R"({"metadata": {"total_size": 14},
      "weight_map": {"z": "b.safetensors", "x": "a.safetensors", "y": "a.safetensors"}})");
  const NamedTensors tensors = load_safetensors(index_).tensors;
  EXPECT_EQ(tensors.size(), 3U);
  EXPECT_TRUE(torch::equal(tensors.at("x"), torch::ones({2})));
  EXPECT_TRUE(torch::equal(tensors.at("z"), torch::full({1}, 7, torch::kFloat16)));
  const SafetensorsHeader header = read_safetensors_header(index_);
  EXPECT_EQ(header.tensors.size(), 3U);
  EXPECT_EQ(header.tensors.at("z").dtype, "F16");
  EXPECT_EQ(header.tensors.at("y").shape, std::vector<int64_t>{3});
}

TEST_F(ShardedSafetensors, WhatIsMissingIsNamed) {
  EXPECT_THAT(refusal(R"({"weight_map": {"x": "a.safetensors", "v": "c.safetensors"}})"),
              HasSubstr("m.safetensors.index.json: its shard c.safetensors is missing"));
  const std::string too_long(300, 'c');
  EXPECT_THAT(refusal(R"({"weight_map": {"v": ")" + too_long + "\"}}"),
              HasSubstr(": its shard " + too_long + " is missing"));
  EXPECT_THAT(refusal(R"({"weight_map": {"x": "b.safetensors"}})"),
              HasSubstr("m.safetensors.index.json: tensor x is not in b.safetensors as it says"));
  write_file_atomically(folder_ / "b.safetensors", "PK");
  EXPECT_THAT(refusal(R"({"weight_map": {"z": "b.safetensors"}})"),
              HasSubstr("b.safetensors: not a safetensors file: it has only 2 bytes"));
}

TEST_F(ShardedSafetensors, WhatIsNoIndexIsRefused) {
  for (const char* content : {"", "[1]", "{}", R"({"weight_map": {}})", R"({"weight_map": "a"})"}) {
    EXPECT_THAT(refusal(content), HasSubstr("not an index of safetensors files: it has no weight_map"))
        << content;
  }
  EXPECT_THAT(refusal(R"({"weight_map": {"x": "../a.safetensors"}})"),
              HasSubstr(R"(weight_map.x must name a file beside the index, got "../a.safetensors")"));
  EXPECT_THAT(refusal(R"({"weight_map": {"x": 1}})"),
              HasSubstr("weight_map.x must name a file beside the index, got 1"));
}

}  // namespace
}  // namespace cm
