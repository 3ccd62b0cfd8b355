<%@ page contentType="text/plain; charset=UTF-8" %><%!
  private static final java.util.logging.Logger ORDERS = java.util.logging.Logger.getLogger("orders");

  private static String quoted(String text) {
    StringBuilder json = new StringBuilder("\"");
    for (char letter : (text == null ? "" : text).toCharArray()) {
      if (letter == '"' || letter == '\\') json.append('\\').append(letter);
      else if (letter < ' ') json.append(String.format("\\u%04x", (int) letter));
      else json.append(letter);
    }
    return json.append('"').toString();
  }
%><%
  double amount = Double.parseDouble(request.getParameter("amount"));
  ORDERS.info(String.format(java.util.Locale.ROOT, "{\"ts\": %d, \"order_id\": %s, \"status\": %s, \"amount\": %.2f}",
      System.currentTimeMillis(), quoted(request.getParameter("order_id")), quoted(request.getParameter("status")), amount));
%>ordered
