"""The topics that invented conversations are about: openings, facts, questions and advice."""

from __future__ import annotations

from typing import NamedTuple

PEOPLE = (
    "Mira", "Jonas", "Aiko", "Paulo", "Lena", "Omar", "Tess", "Ravi", "Nora", "Emil",
    "Zoe", "Ivan", "Maya", "Luis", "Hanna", "Kofi", "Ella", "Sami", "Rosa", "Theo",
)  # fmt: skip

VALUES: dict[str, tuple[str, ...]] = {
    "place": (
        "Porto", "Bergen", "Lyon", "Kyoto", "Quito", "Turin", "Ghent", "Malmo", "Leeds", "Graz",
        "Basel", "Split", "Cork", "Tampa", "Perth", "Davos",
    ),
    "day": ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"),
    "time": (
        "7:15", "7:40", "8:05", "8:30", "9:20", "10:45", "11:10", "12:35", "13:50", "14:25",
        "15:05", "16:40", "17:30", "18:15", "19:20", "20:45",
    ),
    "colour": ("red", "blue", "green", "yellow", "black", "white", "orange", "purple", "grey"),
    "number": tuple(str(number) for number in range(3, 100)),
    "code": tuple(str(number) for number in range(1009, 9990, 53)),
    "person": (
        "Agnes", "Boris", "Carla", "Dieter", "Edith", "Frank", "Gloria", "Henry", "Irene", "Jakob",
        "Klara", "Louis", "Martha", "Niels", "Oliver", "Pia",
    ),
    "street": (
        "Mill Lane", "Oak Street", "River Road", "Church Hill", "Park Avenue", "Station Road",
        "Garden Street", "Harbor Way", "North Square", "Bridge Street",
    ),
}  # fmt: skip
"""What the `{value}` of a fact can be, by kind."""


class FactKind(NamedTuple):
    """Something the user tells and can ask for later; `{value}` is of the named kind."""

    statement: str
    question: str
    answer: str
    values: str


class Subject(NamedTuple):
    """A question of the user's and the advice that the assistant gives on it."""

    label: str
    question: str
    advice: tuple[str, ...]


class Topic(NamedTuple):
    """A theme of a conversation."""

    opening: str
    facts: tuple[FactKind, ...]
    subjects: tuple[Subject, ...]


TOPICS = (
    Topic(
        "I am planning a short trip and have never travelled alone.",
        (
            FactKind("My train leaves at {value}.", "When does my train leave?",
                     "Your train leaves at {value}.", "time"),
            FactKind("I am going to {value}.", "Where am I going?",
                     "You are going to {value}.", "place"),
            FactKind("My hotel is on {value}.", "Where is my hotel?",
                     "Your hotel is on {value}.", "street"),
        ),
        (
            Subject("packing", "What should I pack?", (
                "Roll your clothes, because they take less space that way.",
                "Put a charger and a spare cable in your hand luggage.",
                "Take one warm layer, even in summer.",
                "Leave a little room for things you buy.",
            )),
            Subject("travel money", "How should I carry my money?", (
                "Keep a small amount of cash apart from your purse.",
                "Tell your bank where you are going.",
                "Write the number for blocking your card on paper.",
                "Pay in the local currency when you are asked.",
            )),
            Subject("the station", "What should I do at the station?", (
                "Be on the platform ten minutes early.",
                "Check the board, because the platform may change.",
                "Save your ticket on the phone and print a copy.",
                "Ask the staff if a sign is not clear.",
            )),
        ),
    ),
    Topic(
        "I want to cook a proper dinner for friends.",
        (
            FactKind("I am cooking for {value} people.", "For how many people am I cooking?",
                     "You are cooking for {value} people.", "number"),
            FactKind("The guests come at {value}.", "When do the guests come?",
                     "The guests come at {value}.", "time"),
            FactKind("{value} does not eat nuts.", "Who does not eat nuts?",
                     "{value} does not eat nuts.", "person"),
        ),
        (
            Subject("the soup", "How do I make a good soup?", (
                "Fry the onions slowly until they are soft.",
                "Add the salt in small steps and taste each time.",
                "Let the soup simmer and do not let it boil.",
                "Stir in the herbs just before you serve it.",
            )),
            Subject("the rice", "My rice is always too wet. What can I do?", (
                "Rinse the rice until the water is clear.",
                "Use a little less water than the packet says.",
                "Keep the lid on while it cooks.",
                "Let it rest for some minutes before you open the pot.",
            )),
            Subject("the dessert", "Which dessert can I make the day before?", (
                "A chocolate cream keeps well over night.",
                "Cover it so that it does not take on other smells.",
                "Take it out of the fridge an hour before dinner.",
                "Add fresh fruit at the last moment.",
            )),
        ),
    ),
    Topic(
        "I am learning to program and work on my first small tool.",
        (
            FactKind("My script is stored in folder {value}.", "In which folder is my script?",
                     "Your script is stored in folder {value}.", "number"),
            FactKind("The test server listens on port {value}.",
                     "On which port does the test server listen?",
                     "The test server listens on port {value}.", "code"),
            FactKind("{value} reviews my code.", "Who reviews my code?",
                     "{value} reviews your code.", "person"),
        ),
        (
            Subject("finding bugs", "How do I find a bug that I cannot explain?", (
                "Write down what you expect and what you see.",
                "Make the input smaller until the bug is easy to show.",
                "Read the error message from the last line upwards.",
                "Change one thing at a time.",
            )),
            Subject("tests", "Do I need tests for such a small program?", (
                "Start with one test for the most common case.",
                "Add a test for every bug that you repair.",
                "Keep each test short enough to read at a glance.",
                "Run all the tests before you share the code.",
            )),
            Subject("names", "How should I name my functions?", (
                "Use a verb for what a function does.",
                "Avoid short forms that only you understand.",
                "Rename a function when its purpose changes.",
                "Use the same word for the same thing everywhere.",
            )),
        ),
    ),
    Topic(
        "I have an exam soon and need a better plan for my studies.",
        (
            FactKind("The exam is on {value}.", "On which day is the exam?",
                     "The exam is on {value}.", "day"),
            FactKind("I have to read {value} pages.", "How many pages do I have to read?",
                     "You have to read {value} pages.", "number"),
            FactKind("I study with {value}.", "With whom do I study?",
                     "You study with {value}.", "person"),
        ),
        (
            Subject("the plan", "How do I make a plan that I can keep?", (
                "Divide the book into parts of the same length.",
                "Plan one free evening in every week.",
                "Begin with the part that you like least.",
                "Look at the plan every morning.",
            )),
            Subject("notes", "How should I take notes?", (
                "Close the book before you write a note.",
                "Use your own words and short sentences.",
                "Leave a wide margin for questions.",
                "Read the notes again on the next day.",
            )),
            Subject("the exam day", "What should I do on the day of the exam?", (
                "Eat something light and drink enough water.",
                "Read all the questions before you start.",
                "Answer the easy questions first.",
                "Keep some minutes to check your answers.",
            )),
        ),
    ),
    Topic(
        "I need to organise several visits to the doctor for my mother.",
        (
            FactKind("The first visit is at {value}.", "At what time is the first visit?",
                     "The first visit is at {value}.", "time"),
            FactKind("The clinic is on {value}.", "Where is the clinic?",
                     "The clinic is on {value}.", "street"),
            FactKind("The waiting room is number {value}.",
                     "Which number has the waiting room?",
                     "The waiting room is number {value}.", "number"),
        ),
        (
            Subject("papers", "Which papers should we bring?", (
                "Bring the insurance card and the last letters.",
                "Make a list of all the medicine she takes.",
                "Put everything into one folder.",
                "Ask for a copy of each new report.",
            )),
            Subject("appointments", "How do I keep track of the appointments?", (
                "Use one calendar for all the visits.",
                "Set a reminder for the evening before.",
                "Write down the name of the person you spoke to.",
                "Leave an hour between two visits.",
            )),
            Subject("questions", "How do we remember what to ask?", (
                "Write down three questions at home.",
                "Ask the most important one first.",
                "Repeat the answer in your own words.",
                "Take somebody with you who listens too.",
            )),
        ),
    ),
    Topic(
        "I have a new garden and do not know where to begin.",
        (
            FactKind("I have {value} tomato plants.", "How many tomato plants do I have?",
                     "You have {value} tomato plants.", "number"),
            FactKind("The old fence is {value}.", "Which colour is the old fence?",
                     "The old fence is {value}.", "colour"),
            FactKind("I can work in the garden on {value}.",
                     "On which day can I work in the garden?",
                     "You can work in the garden on {value}.", "day"),
        ),
        (
            Subject("the soil", "How do I prepare the soil?", (
                "Remove the weeds together with their roots.",
                "Mix in compost and let it rest for a week.",
                "Do not walk on wet soil.",
                "Cover bare ground with leaves.",
            )),
            Subject("watering", "How often should I water the plants?", (
                "Water early in the morning.",
                "Give much water at once and then wait.",
                "Pour it on the ground and not on the leaves.",
                "Feel the soil with a finger first.",
            )),
            Subject("snails", "Snails eat my salad. What helps?", (
                "Collect them in the evening when it is damp.",
                "Put a ring of sharp sand around young plants.",
                "Keep the grass near the beds short.",
                "Plant strong herbs between the rows.",
            )),
        ),
    ),
    Topic(
        "Some things in my flat need repair and I want to do it myself.",
        (
            FactKind("The broken lamp is in room {value}.", "In which room is the broken lamp?",
                     "The broken lamp is in room {value}.", "number"),
            FactKind("The new paint is {value}.", "Which colour is the new paint?",
                     "The new paint is {value}.", "colour"),
            FactKind("{value} lends me the ladder.", "Who lends me the ladder?",
                     "{value} lends you the ladder.", "person"),
        ),
        (
            Subject("painting", "How do I paint a wall without stripes?", (
                "Wash the wall and let it dry.",
                "Paint the corners first with a small brush.",
                "Work from the window into the room.",
                "Wait some hours before the second coat.",
            )),
            Subject("the tap", "The tap drips. Can I stop that?", (
                "Turn off the water before you open the tap.",
                "Put a cloth into the sink so that no screw gets lost.",
                "Take the old seal to the shop to find the same size.",
                "Tighten the parts by hand and then a little more.",
            )),
            Subject("the door", "My door makes a noise. What can I do?", (
                "Put a drop of oil on each hinge.",
                "Move the door until the oil has spread.",
                "Look whether a screw is loose.",
                "Wipe off what is left with paper.",
            )),
        ),
    ),
    Topic(
        "I am moving to a new flat and feel that I forget something.",
        (
            FactKind("We move on {value}.", "On which day do we move?",
                     "You move on {value}.", "day"),
            FactKind("My new flat is on {value}.", "Where is my new flat?",
                     "Your new flat is on {value}.", "street"),
            FactKind("We packed {value} boxes.", "How many boxes did we pack?",
                     "You packed {value} boxes.", "number"),
        ),
        (
            Subject("boxes", "How should I pack the boxes?", (
                "Put heavy things into small boxes.",
                "Write the room on two sides of each box.",
                "Fill empty corners with towels.",
                "Pack one box with what you need on the first night.",
            )),
            Subject("letters", "Whom do I have to tell my new address?", (
                "Begin with the bank and the insurance.",
                "Ask the post office to send your letters on.",
                "Tell your employer before the end of the month.",
                "Keep a list of everybody you have told.",
            )),
            Subject("helpers", "How do I make it easy for the helpers?", (
                "Show them the plan of the flat first.",
                "Keep the stairs and the doors free.",
                "Have water and something to eat ready.",
                "Give one person the task of saying what goes where.",
            )),
        ),
    ),
    Topic(
        "I would like to start running but I have little time.",
        (
            FactKind("My first run was {value} minutes long.", "How long was my first run?",
                     "Your first run was {value} minutes long.", "number"),
            FactKind("My running shoes are {value}.", "Which colour are my running shoes?",
                     "Your running shoes are {value}.", "colour"),
            FactKind("I run with {value}.", "With whom do I run?",
                     "You run with {value}.", "person"),
        ),
        (
            Subject("the start", "How should I begin?", (
                "Walk and run in turns for the first weeks.",
                "Run so slowly that you can still talk.",
                "Take a day of rest after each run.",
                "Stop when something hurts.",
            )),
            Subject("the shoes", "How do I choose the shoes?", (
                "Try them on in the evening.",
                "Leave a thumb of space in front of your toes.",
                "Run a few steps in the shop.",
                "Do not choose them by their colour.",
            )),
            Subject("keeping at it", "How do I keep going when it rains?", (
                "Put your things next to the bed.",
                "Meet somebody, because that makes it hard to stay at home.",
                "Count the weeks and not the minutes.",
                "Allow yourself a shorter run.",
            )),
        ),
    ),
    Topic(
        "I want to get an overview of what I spend each month.",
        (
            FactKind("I pay {value} dollars for my phone.", "What do I pay for my phone?",
                     "You pay {value} dollars for your phone.", "number"),
            FactKind("My rent is paid on {value}.", "On which day is my rent paid?",
                     "Your rent is paid on {value}.", "day"),
            FactKind("My savings book has the number {value}.",
                     "Which number has my savings book?",
                     "Your savings book has the number {value}.", "code"),
        ),
        (
            Subject("the overview", "How do I begin with an overview?", (
                "Collect all the receipts of one month.",
                "Sort them into five groups and no more.",
                "Write fixed costs on a page of their own.",
                "Look for the largest group first.",
            )),
            Subject("saving", "How can I save a little every month?", (
                "Move the money on the day you are paid.",
                "Begin with a sum that you do not notice.",
                "Keep it in a separate account.",
                "Raise the sum once a year.",
            )),
            Subject("contracts", "Which contracts should I look at?", (
                "Check what you have not used for half a year.",
                "Note the last day on which you can cancel.",
                "Compare two other offers before you decide.",
                "Ask your provider for a better price.",
            )),
        ),
    ),
    Topic(
        "We are getting a dog from the shelter and want to be ready.",
        (
            FactKind("The dog is called {value}.", "What is the dog called?",
                     "The dog is called {value}.", "person"),
            FactKind("We fetch the dog on {value}.", "On which day do we fetch the dog?",
                     "You fetch the dog on {value}.", "day"),
            FactKind("The dog has a {value} collar.", "Which colour has the collar?",
                     "The dog has a {value} collar.", "colour"),
        ),
        (
            Subject("the first days", "What matters in the first days?", (
                "Give the dog a quiet corner of its own.",
                "Invite no guests in the first week.",
                "Take the same short walk every day.",
                "Let the dog come to you.",
            )),
            Subject("food", "How do we feed the dog?", (
                "Stay with the food of the shelter at first.",
                "Feed at the same hours each day.",
                "Keep fresh water next to the bowl.",
                "Change the food slowly over a week.",
            )),
            Subject("training", "How do we begin with training?", (
                "Practise for five minutes and then play.",
                "Use one word for one thing.",
                "Praise the dog at once when it is right.",
                "End with something that it can do well.",
            )),
        ),
    ),
    Topic(
        "I bought an old camera and want to take better pictures.",
        (
            FactKind("My camera has the number {value}.", "Which number has my camera?",
                     "Your camera has the number {value}.", "code"),
            FactKind("The photo walk starts at {value}.", "When does the photo walk start?",
                     "The photo walk starts at {value}.", "time"),
            FactKind("The next photo walk is in {value}.", "Where is the next photo walk?",
                     "The next photo walk is in {value}.", "place"),
        ),
        (
            Subject("light", "How do I use the light?", (
                "Go out in the hour before sunset.",
                "Keep the sun at your side.",
                "Use a white wall to brighten a face.",
                "Avoid the flash in small rooms.",
            )),
            Subject("portraits", "How do I take a good portrait?", (
                "Talk to the person while you take the picture.",
                "Focus on the eye that is nearer to you.",
                "Choose a calm background.",
                "Take more pictures than you think you need.",
            )),
            Subject("storage", "How should I store my pictures?", (
                "Copy them on the same evening.",
                "Keep a second copy in another place.",
                "Name the folders by year and month.",
                "Delete what you will never show.",
            )),
        ),
    ),
    Topic(
        "I am looking for a new job and have an interview.",
        (
            FactKind("The interview is at {value}.", "At what time is the interview?",
                     "The interview is at {value}.", "time"),
            FactKind("I will talk to {value}.", "To whom will I talk?",
                     "You will talk to {value}.", "person"),
            FactKind("The office is on floor {value}.", "On which floor is the office?",
                     "The office is on floor {value}.", "number"),
        ),
        (
            Subject("the letter", "What belongs in the letter?", (
                "Say in the first line why you write.",
                "Name one result that you are proud of.",
                "Keep it to a single page.",
                "Let a friend read it before you send it.",
            )),
            Subject("the interview", "How do I prepare for the interview?", (
                "Read what the company wrote about itself.",
                "Practise a short story about your last job.",
                "Prepare two questions of your own.",
                "Choose your clothes on the day before.",
            )),
            Subject("the offer", "How do I answer an offer?", (
                "Thank them and ask for a day to think.",
                "Read the whole contract with care.",
                "Name the sum that you had in mind.",
                "Ask for every promise in writing.",
            )),
        ),
    ),
    Topic(
        "I am preparing a birthday party for my little brother.",
        (
            FactKind("The party is on {value}.", "On which day is the party?",
                     "The party is on {value}.", "day"),
            FactKind("The cake is decorated in {value}.", "Which colour is the cake?",
                     "The cake is decorated in {value}.", "colour"),
            FactKind("We invited {value} children.", "How many children did we invite?",
                     "You invited {value} children.", "number"),
        ),
        (
            Subject("games", "Which games work for small children?", (
                "Choose games in which nobody has to leave.",
                "Explain the rules with an example.",
                "Have a quiet game ready for the end.",
                "Give every child a small prize.",
            )),
            Subject("the cake", "How do I make a cake that does not fall in?", (
                "Take the eggs out of the fridge early.",
                "Sift the flour and mix it in slowly.",
                "Do not open the oven in the first half hour.",
                "Let the cake cool in its form.",
            )),
            Subject("the parents", "What should I tell the parents?", (
                "Write when the party begins and ends.",
                "Ask about things that a child must not eat.",
                "Give them a number that they can call.",
                "Tell them what the children should wear.",
            )),
        ),
    ),
    Topic(
        "I have begun to learn the piano as a grown-up.",
        (
            FactKind("My lesson is on {value}.", "On which day is my lesson?",
                     "Your lesson is on {value}.", "day"),
            FactKind("My teacher is called {value}.", "What is my teacher called?",
                     "Your teacher is called {value}.", "person"),
            FactKind("I am on page {value} of the book.", "On which page of the book am I?",
                     "You are on page {value} of the book.", "number"),
        ),
        (
            Subject("practice", "How should I practise?", (
                "Play a little every day.",
                "Begin with each hand alone.",
                "Play slowly enough to make no mistake.",
                "Repeat the hard bar before you play the whole piece.",
            )),
            Subject("reading music", "How do I learn to read music faster?", (
                "Read one new line every day.",
                "Say the notes aloud before you play.",
                "Look ahead while you play.",
                "Learn two notes as landmarks.",
            )),
            Subject("playing for others", "I am nervous when others listen. What helps?", (
                "Record yourself and listen to it.",
                "Play for one friend first.",
                "Choose a piece that you know well.",
                "Go on when you make a mistake.",
            )),
        ),
    ),
    Topic(
        "My old bike should be ready for a tour in spring.",
        (
            FactKind("My bike lock has the code {value}.", "Which code has my bike lock?",
                     "Your bike lock has the code {value}.", "code"),
            FactKind("The tour ends in {value}.", "Where does the tour end?",
                     "The tour ends in {value}.", "place"),
            FactKind("The tour is {value} km long.", "How long is the tour?",
                     "The tour is {value} km long.", "number"),
        ),
        (
            Subject("the brakes", "How do I check the brakes?", (
                "Look at the pads and change them when they are thin.",
                "Pull each lever and see that it stops in time.",
                "Clean the rims with a dry cloth.",
                "Test the brakes on a flat road.",
            )),
            Subject("the chain", "What does the chain need?", (
                "Brush off the dirt first.",
                "Put one drop of oil on each link.",
                "Turn the pedals and wait some minutes.",
                "Wipe the chain until it feels dry.",
            )),
            Subject("the tour", "What should I take on the tour?", (
                "Take a spare tube and a small pump.",
                "Carry two bottles of water.",
                "Pack a jacket against the rain.",
                "Keep a paper map in your bag.",
            )),
        ),
    ),
)  # fmt: skip

REMARKS = (
    "Of course.",
    "Good question.",
    "Let us see.",
    "I am glad to help.",
    "Many people ask me that.",
    "That is easier than it looks.",
    "Here is what has worked for others.",
    "One step after the other is enough.",
    "Most people find this hard at first.",
    "A short list on paper often helps as well.",
    "I can explain each of these points in more detail.",
    "If something does not work, we will look for another way.",
    "You do not have to do all of it on the same day.",
    "There is more than one good way, so choose what suits you.",
    "Small steps are better than a large plan that you do not follow.",
    "Do not worry if the first attempt is not perfect, because that is normal.",
)
"""Sentences that can stand early in an answer; they even out the length."""
