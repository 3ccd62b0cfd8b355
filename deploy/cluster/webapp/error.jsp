<%!
  private static void charge(int cents) {
    throw new IllegalStateException("card refused for " + cents + " cents");
  }
%><%
  try {
    charge(1999);
  } catch (IllegalStateException refused) {
    java.util.logging.Logger.getLogger("org.apache.catalina.shop").log(
        java.util.logging.Level.SEVERE, "Order could not be paid", refused);
    throw new jakarta.servlet.ServletException("Order could not be paid", refused);
  }
%>
