#include "cm/base/error.h"

#include <c10/util/Exception.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <iostream>
#include <new>

namespace cm {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

struct Ending {
  int code;
  std::string said;
};

Ending ending_of(const std::function<int()>& body) {
  ::testing::internal::CaptureStderr();
  const int code = exit_code_of("cm-x", body);
  return {code, ::testing::internal::GetCapturedStderr()};
}

TEST(Error, ExitCodeOfSuccessIsTheBodysOwn) {
  const Ending ending = ending_of([] { return 0; });
  EXPECT_EQ(ending.code, 0);
  EXPECT_EQ(ending.said, "");
  EXPECT_EQ(ending_of([] { return 5; }).code, 5);
}

TEST(Error, OutputThatIsLostIsAFailure) {
  const Ending ending = ending_of([] {
    std::cout.setstate(std::ios::badbit);
    return 0;
  });
  std::cout.clear();
  EXPECT_EQ(ending.code, 1);
  EXPECT_EQ(ending.said, "cm-x: could not write to standard output\n");
}

TEST(Error, AMistakeOfTheUserEndsWithTwo) {
  const Ending ending = ending_of([]() -> int { throw InputError("a.yaml:3: no such key"); });
  EXPECT_EQ(ending.code, 2);
  EXPECT_EQ(ending.said, "cm-x: a.yaml:3: no such key\n");
}

TEST(Error, EveryMistakeIsOneLine) {
  const InputError error(std::vector<std::string>{"first", "second"});
  EXPECT_EQ(error.mistakes().size(), 2U);
  EXPECT_STREQ(error.what(), "first\nsecond");
  EXPECT_EQ(ending_of([&]() -> int { throw error; }).said, "cm-x: first\ncm-x: second\n");
}

TEST(Error, AFailureAtRunTimeEndsWithOne) {
  const Ending ending = ending_of([]() -> int { throw Error("the disk is full"); });
  EXPECT_EQ(ending.code, 1);
  EXPECT_EQ(ending.said, "cm-x: the disk is full\n");
}

TEST(Error, LibTorchsErrorsLoseTheirStackTrace) {
  const Ending ending = ending_of([]() -> int { TORCH_CHECK(false, "sizes\ndiffer"); });
  EXPECT_EQ(ending.code, 1);
  EXPECT_THAT(ending.said, HasSubstr("cm-x: sizes differ\n"));
  EXPECT_THAT(ending.said, Not(HasSubstr("frame #")));
}

TEST(Error, OutOfMemoryIsSaidInWords) {
  const Ending ending = ending_of([]() -> int { throw std::bad_alloc(); });
  EXPECT_EQ(ending.code, 1);
  const std::string remedies =
      "; use a smaller batch (train.micro_batch_size, --batch), model.activation_checkpointing=true or "
      "half "
      "precision (dtype bf16 or fp16)\n";
  EXPECT_EQ(ending.said, "cm-x: out of memory" + remedies);
  // As LibTorch's allocators say it, the CPU's and a GPU's.
  const auto allocation = []() -> int {
    TORCH_CHECK(
        false, "DefaultCPUAllocator: can't allocate memory: you tried to allocate 4503 bytes. Error code 12");
  };
  EXPECT_EQ(ending_of(allocation).said, "cm-x: out of memory: 4503 bytes asked for" + remedies);
  const auto of_a_gpu = []() -> int {
    TORCH_CHECK_WITH(
        OutOfMemoryError, false,
        "CUDA out of memory. Tried to allocate 20.00 MiB. GPU 0 has a total capacity of 79.15 GiB of "
        "which 3.06 MiB is free. Process 7 has 79.1 GiB memory in use. Of the allocated memory 1 GiB "
        "is allocated by PyTorch, and 2 GiB is reserved by PyTorch but unallocated.");
  };
  EXPECT_EQ(ending_of(of_a_gpu).said, "cm-x: out of memory: 20.00 MiB asked for, 3.06 MiB free" + remedies);
}

TEST(Error, ARefusalOfTheFileSystemNamesThePath) {
  const Ending ending = ending_of([]() -> int {
    std::filesystem::create_directories("/dev/null/run");
    return 0;
  });
  EXPECT_EQ(ending.code, 1);
  EXPECT_EQ(ending.said, "cm-x: could not create or open /dev/null/run: Not a directory\n");
}

TEST(Error, ANameThatNoFileCanHaveIsTheUsersMistake) {
  const Ending ending =
      ending_of([]() -> int { return std::filesystem::exists(std::string(300, 'a')) ? 0 : 1; });
  EXPECT_EQ(ending.code, 2);
  EXPECT_THAT(ending.said, HasSubstr("aaa: File name too long\n"));
}

TEST(Error, AnyOtherExceptionEndsWithOne) {
  const Ending ending = ending_of([]() -> int { throw std::out_of_range("index 7"); });
  EXPECT_EQ(ending.code, 1);
  EXPECT_EQ(ending.said, "cm-x: index 7\n");
}

}  // namespace
}  // namespace cm
