#include "src/cli/edit_input.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cm/base/error.h"
#include "cm/data/resize.h"
#include "cm/io/image.h"
#include "cm/io/npz.h"
#include "support/message_of.h"
#include "support/temporary_folder.h"

namespace cm {
namespace {

using test::message_of;
using testing::ElementsAre;
using testing::EndsWith;
using testing::HasSubstr;
using testing::IsEmpty;

const ImageSpec kGrey = {.channels = 1, .size = 8, .classes = 0};
const ImageSpec kColour = {.channels = 3, .size = 8, .classes = 0};
const ImageSpec kClasses = {.channels = 1, .size = 8, .classes = 10};

EditOptions editing(EditTask task, const std::string& input) {
  EditOptions options;
  options.task = task;
  options.input = input;
  return options;
}

// A folder with what the tests read.
class EditInputTest : public testing::Test {
 protected:
  // Writes a ramp as PNG and returns its path.
  std::string picture(const std::string& name, int64_t channels, int64_t height, int64_t width) {
    const int64_t count = channels * height * width;
    const Tensor ramp = torch::arange(count).mul(7).remainder(251).to(torch::kUInt8);
    write_png(folder_ / name, ramp.view({channels, height, width}));
    return (folder_ / name).string();
  }

  std::string mask(const std::string& name, const Tensor& white) {
    write_png(folder_ / name, white.to(torch::kUInt8).mul(255).unsqueeze(0));
    return (folder_ / name).string();
  }

  std::string archive(const std::vector<int64_t>& labels) {
    const auto count = static_cast<int64_t>(labels.size());
    const Tensor pixels = torch::arange(count * 64).to(torch::kUInt8).view({count, 8, 8, 1});
    save_npz(folder_ / "x.npz", {{"arr_0", pixels}, {"arr_1", torch::tensor(labels, torch::kInt64)}});
    return (folder_ / "x.npz").string();
  }

  static std::string complaint(const EditOptions& options, const ImageSpec& image = kGrey) {
    return message_of<InputError>([&] { read_edit_input(options, image); });
  }

  test::TemporaryFolder folder_;
};

TEST_F(EditInputTest, PicturesAreBroughtToTheModelsSize) {
  const EditOptions options = editing(EditTask::stroke, picture("wide.png", 3, 20, 30));
  const EditInput input = read_edit_input(options, kColour);
  const Tensor expected = center_crop(read_image(*options.input, 3), 8);
  EXPECT_TRUE(torch::equal(input.reference, from_uint8(expected).unsqueeze(0)));
  EXPECT_THAT(input.pictures, ElementsAre(EndsWith("wide.png")));
  EXPECT_FALSE(input.known.defined());
  EXPECT_FALSE(input.labels.defined());
  EXPECT_THAT(input.remarks, IsEmpty());
}

TEST_F(EditInputTest, PicturesAreRepeatedInOrder) {
  EditOptions options = editing(EditTask::stroke, archive({4, 1, 9}));
  options.count = 5;
  const EditInput input = read_edit_input(options, kClasses);
  EXPECT_EQ(input.reference.size(0), 5);
  EXPECT_TRUE(torch::equal(input.reference[3], input.reference[0]));
  EXPECT_TRUE(torch::equal(input.labels, torch::tensor({4, 1, 9, 4, 1})));
  options.count = 2;
  EXPECT_EQ(read_edit_input(options, kClasses).pictures.size(), 2U);
}

TEST_F(EditInputTest, ClassesComeFromTheCommandThenTheInputThenInOrder) {
  EditOptions options = editing(EditTask::stroke, archive({4, 1, 9}));
  options.classes = "3";
  EXPECT_TRUE(torch::equal(read_edit_input(options, kClasses).labels, torch::tensor({3, 3, 3})));
  options.classes.reset();
  EXPECT_TRUE(torch::equal(read_edit_input(options, kClasses).labels, torch::tensor({4, 1, 9})));
  options.input = archive({4, 1, 10});  // a class that the model does not have
  const EditInput in_order = read_edit_input(options, kClasses);
  EXPECT_TRUE(torch::equal(in_order.labels, torch::tensor({0, 1, 2})));
  EXPECT_THAT(in_order.remarks, ElementsAre(HasSubstr("neither --class nor the input says which")));
  options.classes = "10";
  EXPECT_THAT(complaint(options, kClasses), HasSubstr("--class must be 'all' or classes in 0 … 9"));
}

TEST_F(EditInputTest, SuperResolutionTakesTheSmallPictureOrAFullOne) {
  EditOptions options = editing(EditTask::superres, picture("small.png", 1, 4, 4));
  options.factor = 2;
  const Tensor small = from_uint8(read_image(*options.input, 1));
  const Tensor repeated = small.repeat_interleave(2, 1).repeat_interleave(2, 2);
  EXPECT_TRUE(torch::equal(read_edit_input(options, kGrey).reference[0], repeated));
  EXPECT_EQ(read_edit_input(options, kGrey).small_pictures, 1);
  options.input = picture("full.png", 1, 8, 8);
  EXPECT_TRUE(
      torch::equal(read_edit_input(options, kGrey).reference[0], from_uint8(read_image(*options.input, 1))));
  EXPECT_EQ(read_edit_input(options, kGrey).small_pictures, 0);
  for (const int64_t factor : {3, 1, 0, -2, 16}) {
    options.factor = factor;
    EXPECT_THAT(complaint(options),
                HasSubstr("--factor must divide the model's side of 8 pixels (2, 4, 8), got "));
  }
}

TEST_F(EditInputTest, ABoxIsThePartToFill) {
  EditOptions options = editing(EditTask::inpaint, picture("a.png", 1, 8, 8));
  options.box = {1, 2, 3, 4};
  const Tensor known = read_edit_input(options, kGrey).known;
  EXPECT_EQ(known.sizes(), torch::IntArrayRef({1, 1, 8, 8}));
  EXPECT_EQ((~known).sum().item<int64_t>(), 12);
  EXPECT_FALSE(known[0][0].narrow(0, 2, 4).narrow(1, 1, 3).any().item<bool>());
  options.box = {0, 0, 8, 8};
  EXPECT_FALSE(read_edit_input(options, kGrey).known.any().item<bool>());
  const uint64_t huge = ~uint64_t{0};
  for (const auto& box : std::vector<std::vector<uint64_t>>{{5, 0, 4, 1},
                                                            {0, 5, 1, 4},
                                                            {0, 0, 0, 1},
                                                            {0, 0, 1, 0},
                                                            {8, 0, 1, 1},
                                                            {huge, 0, 2, 1},
                                                            {1, 1, huge, 1}}) {
    options.box = box;
    EXPECT_THAT(complaint(options), HasSubstr("--box must be x,y,w,h inside the model's image of 8×8"));
  }
}

TEST_F(EditInputTest, AMaskHasTheModelsSizeOrThePictures) {
  Tensor left = torch::zeros({8, 8});
  left.narrow(1, 0, 3).fill_(1);
  EditOptions options = editing(EditTask::inpaint, picture("a.png", 1, 16, 32));
  options.mask = mask("model.png", left);
  EXPECT_TRUE(torch::equal(read_edit_input(options, kGrey).known[0][0], left == 1));
  // 16 × 32 is halved, then 4 columns on either side are cropped: 10 columns of it are 1 of the result.
  Tensor ten = torch::zeros({16, 32});
  ten.narrow(1, 0, 10).fill_(1);
  options.mask = mask("picture.png", ten);
  const Tensor known = read_edit_input(options, kGrey).known[0][0];
  EXPECT_TRUE(known.narrow(1, 0, 1).all().item<bool>());
  EXPECT_FALSE(known.narrow(1, 1, 7).any().item<bool>());
  options.mask = mask("other.png", torch::ones({8, 9}));
  EXPECT_THAT(complaint(options),
              HasSubstr("other.png: is 9×8 pixels; a mask needs the model's 8×8 or the 32×16 of "));
  options.mask = "nowhere.png";
  EXPECT_THAT(complaint(options), HasSubstr("nowhere.png: no such file"));
}

TEST_F(EditInputTest, AMaskThatIsWhiteEverywhereIsRemarked) {
  EditOptions options = editing(EditTask::inpaint, picture("a.png", 1, 8, 8));
  options.mask = mask("white.png", torch::ones({8, 8}));
  const EditInput input = read_edit_input(options, kGrey);
  EXPECT_TRUE(input.known.all().item<bool>());
  EXPECT_THAT(input.remarks, ElementsAre(HasSubstr("leaves nothing to fill")));
}

TEST_F(EditInputTest, ColoursNeedAColourModel) {
  EXPECT_THAT(complaint(editing(EditTask::colorize, picture("a.png", 3, 8, 8))),
              HasSubstr("colorize needs a model of colour images (3 channels); this one makes grey ones"));
}

}  // namespace
}  // namespace cm
