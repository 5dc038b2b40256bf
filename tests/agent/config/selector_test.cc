// SPDX-License-Identifier: Apache-2.0
#include "agent/config/selector.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>
#include <string>
#include <string_view>

namespace plimsoll::agent::selector_test {
namespace {

using testing::HasSubstr;

bool selects(std::string_view selector, const Labels& labels) {
  const Result<Selector> parsed = Selector::parse(selector);
  EXPECT_TRUE(parsed) << selector << ": " << (parsed ? "" : parsed.error().message);
  return parsed && parsed->matches(labels);
}

std::string selector_error(std::string_view text) {
  const Result<Selector> parsed = Selector::parse(text);
  return parsed ? "(accepted)" : parsed.error().message;
}

TEST(Selector, EachOperatorHoldsAsInKubernetes) {
  const Labels web{{"app", "web"}, {"env", "dev"}, {"empty", ""}};
  struct Candidate {
    std::string_view selector;
    bool of_web;
    bool of_none;  // an object without labels
  };
  for (const Candidate& each : {
           Candidate{"", true, true},
           Candidate{"app=web", true, false},
           Candidate{"app==web", true, false},
           Candidate{"app=db", false, false},
           Candidate{"app!=web", false, true},
           Candidate{"app!=db", true, true},
           Candidate{"env in (ci,dev)", true, false},
           Candidate{"env in (ci,qa)", false, false},
           Candidate{"env notin (ci,dev)", false, true},
           Candidate{"env notin (ci)", true, true},
           Candidate{"env", true, false},
           Candidate{"!env", false, true},
           Candidate{"empty", true, false},
           Candidate{"empty=", true, false},
           Candidate{"app=", false, false},
           Candidate{"empty in (,x)", true, false},
           Candidate{"app=web,env=dev", true, false},
           Candidate{"app=web,env=ci", false, false},
           Candidate{"!legacy,app!=db,env in (dev)", true, false},
       }) {
    EXPECT_EQ(selects(each.selector, web), each.of_web) << each.selector;
    EXPECT_EQ(selects(each.selector, {}), each.of_none) << each.selector;
  }
}

TEST(Selector, BlanksMayStandBetweenWords) {
  const Labels labels{{"example.com/tier", "a_b.C-1"}};
  for (const std::string_view text :
       {"example.com/tier=a_b.C-1", " example.com/tier = a_b.C-1 ", "example.com/tier\t==a_b.C-1",
        "example.com/tier in ( a_b.C-1 , x )", "example.com/tier in(a_b.C-1)",
        "example.com/tier , ! other"}) {
    EXPECT_TRUE(selects(text, labels)) << text;
  }
}

// Labels whose names are words of the grammar.
TEST(Selector, InAndNotinAreNamesToo) {
  EXPECT_TRUE(selects("in,notin=x,in in (a)", {{"in", "a"}, {"notin", "x"}}));
}

TEST(Selector, WhatIsWrongIsNamed) {
  for (const auto& [text, why] : {
           std::pair{"app==", "(accepted)"},
           std::pair{"=web", "needs the name of a label before \"=web\""},
           std::pair{"app web", "needs one of = == != in notin after \"app\""},
           std::pair{"app in dev", "needs ( after in or notin"},
           std::pair{"app in (dev", "needs ) at the end of a list"},
           std::pair{"app=web,", "ends with a comma"},
           std::pair{"app=web env=dev", "needs a comma before \"env=dev\""},
           std::pair{"app=web=db", "needs a comma before \"=db\""},
           std::pair{",app", "needs the name of a label before \",app\""},
           std::pair{"!", "needs the name of a label at its end"},
           std::pair{"!app=web", "needs a comma before \"=web\""},
           std::pair{"-app", "has \"-app\", which is no name of a label"},
           std::pair{"a/b/c", "has \"a/b/c\", which is no name of a label"},
           std::pair{"App.Example/x", "has \"App.Example/x\", which is no name of a label"},
           std::pair{"app=-", "has \"-\", which no label can have as its value"},
           std::pair{"app=a/b", "has \"a/b\", which no label can have as its value"},
           std::pair{"cpu>4", "needs one of = == != in notin after \"cpu\""},
           std::pair{"app in ()", "(accepted)"},
       }) {
    EXPECT_THAT(selector_error(text), HasSubstr(why)) << text;
  }
  EXPECT_EQ(selector_error("app in"),
            "the selector needs ( after in or notin; expected one such as \"app=web,env in "
            "(dev,ci)\"");
}

TEST(Selector, TextReadsBackAsTheSameSelector) {
  for (const auto& [text, spelt] : {
           std::pair{"", ""},
           std::pair{" a == b ", "a=b"},
           std::pair{"a!=b,! c , d", "a!=b,!c,d"},
           std::pair{"x notin ( b ,a,b)", "x notin (a,b)"},
           std::pair{"x in (,a)", "x in (,a)"},
           std::pair{"x=", "x="},
       }) {
    const auto parsed = Selector::parse(text);
    ASSERT_TRUE(parsed) << text;
    EXPECT_EQ(parsed->text(), spelt);
    EXPECT_EQ(*Selector::parse(parsed->text()), *parsed) << text;
  }
}

TEST(Selector, RandomTextsAreRefusedOrReadBack) {
  std::mt19937_64 random(20261123);
  const std::string_view pieces[] = {"a", "b/c", "=", "!=",    "==", "!",  "in", "notin", "(", ")",
                                     ",", " ",   "-", "x.y/z", "\t", "\0", "<",  "é",     "A", "9"};
  int accepted = 0;
  for (int round = 0; round < 50000; ++round) {
    std::string text;
    for (std::size_t i = random() % 10; i > 0; --i) text += pieces[random() % std::size(pieces)];
    const auto parsed = Selector::parse(text);
    if (!parsed) continue;
    ++accepted;
    ASSERT_EQ(*Selector::parse(parsed->text()), *parsed) << text;
  }
  EXPECT_GT(accepted, 1000);
  EXPECT_THAT(selector_error(std::string(200, 'a')), HasSubstr("no name of a label"));
  std::string many = "a";
  for (int i = 0; i < 100; ++i) many += ",a";
  EXPECT_THAT(selector_error(many), HasSubstr("too many parts"));
}

bool in_list(std::string_view list, std::string_view name) {
  const auto parsed = NamespaceList::parse(list);
  EXPECT_TRUE(parsed) << list << ": " << (parsed ? "" : parsed.error().message);
  return parsed && parsed->contains(name);
}

TEST(NamespaceList, ExclusionsWin) {
  for (const auto& [list, name, expected] : {
           std::tuple{"", "any", true},
           std::tuple{"dev", "dev", true},
           std::tuple{"dev", "dev-1", false},
           std::tuple{"dev-*", "dev-1", true},
           std::tuple{"dev-*", "dev-", true},
           std::tuple{"dev-*", "dev", false},
           std::tuple{"*", "kube-system", true},
           std::tuple{"*,!kube-*", "kube-system", false},
           std::tuple{"!kube-*", "kube-system", false},
           std::tuple{"!kube-*", "web", true},
           std::tuple{"!kube-*,kube-system", "kube-system", false},
           std::tuple{" dev , ci ", "ci", true},
           std::tuple{"a*b*c", "axxbxbc", true},
           std::tuple{"a*b*c", "axxbxb", false},
           std::tuple{"*-x", "a-x-x", true},
           std::tuple{"**", "", true},
           std::tuple{"a*a", "a", false},
       }) {
    EXPECT_EQ(in_list(list, name), expected) << list << " " << name;
  }
}

TEST(NamespaceList, WhatIsNoNameIsRefused) {
  for (const std::string_view bad : {"Dev", "a b", "a,,b", "!", "a.b", "a?", "-/", ",a"}) {
    const auto parsed = NamespaceList::parse(bad);
    ASSERT_FALSE(parsed) << bad;
    EXPECT_THAT(parsed.error().message, HasSubstr("is no name of a namespace"));
  }
  EXPECT_EQ(NamespaceList::parse(" dev-* ,! ci, a")->text(), "dev-*,a,!ci");
}

TEST(Names, FollowTheRulesOfKubernetes) {
  const std::string long_label(63, 'a');
  EXPECT_TRUE(is_dns_label("a"));
  EXPECT_TRUE(is_dns_label("my-app-1"));
  EXPECT_TRUE(is_dns_label(long_label));
  for (const std::string& bad : {std::string(), std::string("A"), std::string("-a"),
                                 std::string("a-"), std::string("a.b"), long_label + "a"}) {
    EXPECT_FALSE(is_dns_label(bad)) << bad;
  }
  EXPECT_TRUE(is_label_key("example.com/" + long_label));
  EXPECT_TRUE(is_label_key(long_label + ".plimsoll.dev/memory-ceiling"));
  for (const std::string& bad : {std::string(), std::string("/a"), std::string("a/"),
                                 std::string("a..b/c"), "a/" + long_label + "b"}) {
    EXPECT_FALSE(is_label_key(bad)) << bad;
  }
  EXPECT_TRUE(is_label_value(""));
  EXPECT_TRUE(is_label_value("v1.2_3-x"));
  EXPECT_FALSE(is_label_value("_x"));
}

}  // namespace
}  // namespace plimsoll::agent::selector_test
