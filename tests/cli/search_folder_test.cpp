#include "src/cli/search_folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "cm/base/error.h"
#include "support/message_of.h"
#include "support/temporary_folder.h"

namespace cm {
namespace {

namespace fs = std::filesystem;

using test::message_of;
using testing::AllOf;
using testing::EndsWith;
using testing::HasSubstr;
using testing::Not;

const Json kSettings = {{"steps", 2}, {"metric", "frechet"}, {"class", nullptr}};

class SearchFolderTest : public testing::Test {
 protected:
  fs::path out() const { return folder_ / "out"; }

  void add_two() const {
    SearchFolder search(out(), kSettings, false);
    search.add({.points = {0, 13}, .sigmas = {80, 9.5}, .value = 0.1, .seconds = 2});
    search.add({.points = {0, 26}, .sigmas = {80, 0.1 + 0.2}, .value = 1.0 / 3, .seconds = 2});
  }

  void append(const std::string& text) const {
    std::ofstream(out() / "evaluations.jsonl", std::ios::app) << text;
  }

  std::string mistake(bool resume, bool force = false) const {
    return message_of<InputError>([&] { check_search_folder(out(), resume, force); });
  }

  const test::TemporaryFolder folder_;
};

TEST_F(SearchFolderTest, HasOneSearchAtATime) {
  const SearchFolder search(out(), kSettings, false);
  EXPECT_THAT(message_of<InputError>([&] { SearchFolder(out(), kSettings, true); }),
              HasSubstr("another process is writing to it"));
}

TEST_F(SearchFolderTest, RemembersEvaluationsExactly) {
  add_two();
  const SearchFolder resumed(out(), kSettings, true);
  EXPECT_EQ(resumed.evaluations(), 2);
  EXPECT_EQ(resumed.value_of({0, 13}), 0.1);
  EXPECT_EQ(resumed.value_of({0, 26}), 1.0 / 3);
  EXPECT_EQ(resumed.value_of({0}), std::nullopt);
  EXPECT_EQ(resumed.value_of({0, 13, 26}), std::nullopt);
}

TEST_F(SearchFolderTest, EveryEvaluationIsOnDiskAtOnce) {
  SearchFolder search(out(), kSettings, false);
  search.add({.points = {0, 13}, .sigmas = {80, 9.5}, .value = 0.1, .seconds = 2});
  EXPECT_EQ(read_file(out() / "evaluations.jsonl"),
            "{\"points\":[0,13],\"sigmas\":[80.0,9.5],\"value\":0.1,\"seconds\":2.0}\n");
  EXPECT_EQ(Json::parse(read_file(out() / "search.json")),
            Json({{"settings", kSettings}, {"result", nullptr}}));
}

TEST_F(SearchFolderTest, ALineThatWasCutOffIsDroppedAndNoOther) {
  add_two();
  append(R"({"points":[0,21],"sigmas":[80.0,1.7],"val)");
  {
    SearchFolder resumed(out(), kSettings, true);
    EXPECT_EQ(resumed.evaluations(), 2);
    resumed.add({.points = {0, 21}, .sigmas = {80, 1.7}, .value = 0.5, .seconds = 1});
  }
  append(
      "\nnot "
      "JSON\n[0,30]\n{\"points\":[0,30]}\n{\"points\":\"x\",\"value\":1}\n{\"points\":[0.5],\"value\":1}\n");
  const SearchFolder again(out(), kSettings, true);
  EXPECT_EQ(again.evaluations(), 3);
  EXPECT_EQ(again.value_of({0, 21}), 0.5);
}

TEST_F(SearchFolderTest, AFinishedSearchHasAResultAndAPicture) {
  SearchFolder search(out(), kSettings, false);
  search.finish({{"value", 0.5}}, torch::zeros({3, 4, 4}, torch::kUInt8));
  EXPECT_EQ(Json::parse(read_file(out() / "search.json")).at("result"), Json({{"value", 0.5}}));
  EXPECT_TRUE(fs::exists(out() / "search.png"));
}

TEST_F(SearchFolderTest, StartingOverForgets) {
  add_two();
  std::ofstream(out() / "notes.txt") << "mine";
  const SearchFolder fresh(out(), kSettings, false);
  EXPECT_EQ(fresh.evaluations(), 0);
  EXPECT_EQ(read_file(out() / "evaluations.jsonl"), "");
  EXPECT_TRUE(fs::exists(out() / "notes.txt"));
}

TEST_F(SearchFolderTest, OtherSettingsAreRefusedByName) {
  add_two();
  const std::string before = read_file(out() / "evaluations.jsonl");
  Json other = kSettings;
  other["metric"] = "recall";
  other["class"] = "3,5";
  const std::string mistake = message_of<InputError>([&] { SearchFolder(out(), other, true); });
  EXPECT_THAT(mistake, AllOf(HasSubstr("metric was frechet, not recall; class was none, not 3,5"),
                             Not(HasSubstr("steps"))));
  EXPECT_EQ(read_file(out() / "evaluations.jsonl"), before);
}

// An object that is no file has no content to go by: all of it counts.
TEST_F(SearchFolderTest, AnObjectThatIsNoFileIsComparedWhole) {
  const Json settings = {{"features", {{"source", "network.pt"}, {"resize", "clean"}}}};
  EXPECT_EQ(SearchFolder(out(), settings, false).evaluations(), 0);
  EXPECT_EQ(SearchFolder(out(), settings, true).evaluations(), 0);
  const Json other = {{"features", {{"source", "network.pt"}, {"resize", "pytorch"}}}};
  EXPECT_THAT(message_of<InputError>([&] { SearchFolder(out(), other, true); }), HasSubstr("features"));
}

TEST_F(SearchFolderTest, ADamagedSettingIsAnother) {
  const Json settings = {{"checkpoint", {{"path", "a"}, {"sha256", "b"}}}};
  EXPECT_EQ(SearchFolder(out(), settings, false).evaluations(), 0);
  for (const char* damaged :
       {R"({"path": 3, "sha256": "c"})", R"({"sha256": "c"})", R"({"path": "a", "sha256": 4})"}) {
    const Json record = {{"settings", {{"checkpoint", Json::parse(damaged)}}}};
    std::ofstream(out() / "search.json") << record;
    EXPECT_THAT(message_of<InputError>([&] { SearchFolder(out(), settings, true); }),
                HasSubstr("checkpoint was {"));
  }
}

TEST_F(SearchFolderTest, APathThatIsNoUtf8IsTheSameOnResume) {
  const Json settings = {{"reference", "images\xff"}};
  EXPECT_EQ(SearchFolder(out(), settings, false).evaluations(), 0);
  EXPECT_EQ(SearchFolder(out(), settings, true).evaluations(), 0);
}

TEST_F(SearchFolderTest, AFileIsItsContent) {
  std::ofstream(folder_ / "a") << "weights";
  std::ofstream(folder_ / "b") << "weights";
  std::ofstream(folder_ / "c") << "others";
  const auto settings = [&](const std::string& name) {
    return Json{{"checkpoint", file_setting((folder_ / name).string())}};
  };
  const auto mistake_with = [&](const std::string& name) {
    return message_of<InputError>([&] { SearchFolder(out(), settings(name), true); });
  };
  { const SearchFolder search(out(), settings("a"), false); }
  EXPECT_NO_THROW(SearchFolder(out(), settings("b"), true));
  EXPECT_THAT(mistake_with("c"), HasSubstr(concat("checkpoint was ", (folder_ / "a").string(), ", not ")));
  std::ofstream(folder_ / "a") << "trained on";
  EXPECT_THAT(mistake_with("a"), HasSubstr(concat("checkpoint ", (folder_ / "a").string(), " has changed")));
  EXPECT_EQ(file_setting("pixels"), "pixels");
  EXPECT_EQ(file_setting(folder_.path().string()), folder_.path().string());
}

TEST_F(SearchFolderTest, ARecordThatIsNoneIsRefused) {
  add_two();
  std::ofstream(out() / "search.json") << "{\"settings\": 3}";
  EXPECT_THAT(message_of<InputError>([&] { SearchFolder(out(), kSettings, true); }),
              HasSubstr("search.json: is no record of a search"));
}

TEST_F(SearchFolderTest, FoldersThatHoldSomethingAreKept) {
  EXPECT_THAT(mistake(true), EndsWith("holds no search; start one without --resume"));
  EXPECT_NO_THROW(check_search_folder(out(), false, false));
  fs::create_directories(out());
  EXPECT_NO_THROW(check_search_folder(out(), false, false));
  std::ofstream(out() / ".search.json.tmp-7") << "what a process that died left";
  EXPECT_NO_THROW(check_search_folder(out(), false, false));
  std::ofstream(out() / "thesis.tex") << "years of work";
  EXPECT_THAT(mistake(false), HasSubstr("is not empty and holds no search"));
  EXPECT_THAT(mistake(false, true), HasSubstr("is not empty and holds no search"));
  fs::remove_all(out());
  add_two();
  EXPECT_THAT(mistake(false),
              HasSubstr("holds a search already; --resume continues it, --force starts over"));
  EXPECT_NO_THROW(check_search_folder(out(), true, false));
  EXPECT_NO_THROW(check_search_folder(out(), false, true));
  fs::remove_all(out());
  std::ofstream(out()) << "a file";
  EXPECT_THAT(mistake(false, true), HasSubstr("is a file; name a folder"));
}

}  // namespace
}  // namespace cm
